"""`make test`: every test there is, on the real engine, Docker, nginx and vLLM, from whatever the machine has."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from machine import python_env
from machine.console import line, run, step
from machine.debian import ensure_tools
from machine.paths import LOGS, REPOSITORY
from quickstart import pulumi_state
from quickstart.environment import environment
from quickstart.up import provide
from toolchain.golang import go_environment, test_command
from toolchain.parts import PARTS

APP_UNIT_TESTS = "tests/unit/pageindex_app"
# About half of the work: the simulated GPU host, and a stack whose replicas are replaced. The others share one stack.
BESIDE = [f"tests/integration/test_{name}.py" for name in ("lab_host", "remote_gpu_host", "target_stacks", "rollouts")]
NO_TESTS = 5  # pytest's code when PYTEST_ARGS chose none
# fontconfig brings a font: without one a browser draws boxes.
ONLY_FOR_TESTS = {"sshd": "openssh-server", "chromium": "chromium", "fc-list": "fontconfig"}


def test() -> int:
    """Provide what is missing, then run the toolchain's Go tests and all of pytest; its closing line comes last."""
    python_env.PROGRAM.ensure()
    provide()
    pulumi_state.ensure()
    with step("Tools that only the tests need") as current:
        ensure_tools(ONLY_FOR_TESTS, current, LOGS / "apt.log")
    go_tests()
    line("running pytest; the integration tests take minutes, their set-up lines show what they are at")
    return _app_tests() or _unit_tests() or _integration_tests()


def go_tests() -> None:
    """The plugins' own tests, with the flags of their build, so that Go's cache has most of it."""
    for part in (part for part in PARTS if list(part.source.rglob("*_test.go"))):
        with step(f"Go tests of the {part.title}") as current:
            run(test_command(part), current, cwd=part.source, env=go_environment(), log=LOGS / "go-test.log")


def check() -> int:
    """Format, lint, types and unit tests: some minutes on 2 cores."""
    python_env.PROGRAM.ensure()
    tools = python_env.PROGRAM.folder / "bin"
    for command in ([tools / "ruff", "format", "--check", "."], [tools / "ruff", "check", "."], [tools / "mypy"]):
        code = _run(*command)
        if code:
            return code
    return _app_tests() or _unit_tests()


def _integration_tests() -> int:
    """Two runs beside each other, because a model server that starts keeps one core busy and not two."""
    options = ["-v", "--durations=15", *_extra_arguments()]
    output = LOGS / "tests-beside.log"
    output.parent.mkdir(parents=True, exist_ok=True)
    with output.open("w", encoding="utf-8") as log:
        command = [str(python_env.PROGRAM.python()), "-m", "pytest", *BESIDE, *options]
        beside = subprocess.Popen(
            command, cwd=REPOSITORY, env=environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )
        line(f"two runs beside each other; what the other one says is in {output}, and follows at the end")
        try:
            code = _pytest("tests/integration", *(f"--ignore={path}" for path in BESIDE), *options)
            if beside.poll() is None:
                line("waiting for the other run")
            other = beside.wait()
        finally:
            beside.terminate()
            beside.wait()
    sys.stdout.write(output.read_text(encoding="utf-8", errors="replace"))
    sys.stdout.flush()
    return next((each for each in (code, other) if each not in (0, NO_TESTS)), 0)


def _app_tests() -> int:
    """The app's unit tests, in an environment with the app's own dependencies."""
    python_env.APP_TESTS.ensure()
    return _run(python_env.APP_TESTS.python(), "-m", "pytest", APP_UNIT_TESTS, "-q", "-n", "2")


def _unit_tests() -> int:
    return _pytest("tests/unit", "-q", "-n", "2")


def _pytest(*arguments: str) -> int:
    return _run(python_env.PROGRAM.python(), "-m", "pytest", f"--ignore={APP_UNIT_TESTS}", *arguments)


def _run(*command: str | Path) -> int:
    done = subprocess.run([str(part) for part in command], cwd=REPOSITORY, env=environment(), check=False)
    return done.returncode


def _extra_arguments() -> list[str]:
    """PYTEST_ARGS of the environment: `PYTEST_ARGS='-k gateway' make test`."""
    return os.environ.get("PYTEST_ARGS", "").split()
