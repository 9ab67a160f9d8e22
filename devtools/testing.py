"""`make check` and `make test`: everything, one area, or what a change touches."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import toolchain
from devtools import areas
from devtools.areas import APP_UNIT_TESTS, INTEGRATION, UNIT, Area
from devtools.changes import changed_files, digest, has_passed, remember_passed
from machine import python_env
from machine.console import line, run, step
from machine.debian import ensure_tools
from machine.paths import LOGS, REPOSITORY
from quickstart import pulumi_state
from quickstart.environment import environment
from quickstart.up import provide
from toolchain.building import ensure_part
from toolchain.golang import go_environment, test_command
from toolchain.parts import PARTS, YAML_HOST

# About half of the work: the simulated GPU host, and a stack whose replicas are replaced. The others share one stack.
BESIDE = [f"{INTEGRATION}/test_{name}.py" for name in (
    "lab_host", "remote_gpu_host", "target_stacks", "rollouts", "other_languages", "several_models",
)]  # fmt: skip
NO_TESTS = 5  # pytest's code when PYTEST_ARGS chose none
# fontconfig brings a font: without one a browser draws boxes.
ONLY_FOR_TESTS = {"sshd": "openssh-server", "chromium": "chromium", "fc-list": "fontconfig"}
# What the app's unit tests read. They take most of `make check`, so they run only when one of these has changed.
APP_INPUTS = ("services/pageindex_app", APP_UNIT_TESTS, "tests/*.py", "samples", "planning", "pyproject.toml")


def test() -> int:
    """Provide what is missing, then run the toolchain's Go tests and all of pytest; its closing line comes last."""
    python_env.PROGRAM.ensure()
    _provide_for_integration()
    go_tests()
    line("running pytest; the integration tests take minutes, their set-up lines show what they are at")
    return _app_tests() or _unit_tests() or _integration_tests()


def test_areas(chosen: list[Area]) -> int:
    """The tests of some areas, each of which is provided only with what it needs."""
    python_env.PROGRAM.ensure()
    line(f"areas: {', '.join(area.name for area in chosen) or 'none is touched'}")
    unit = [path for area in chosen for path in area.unit if path != APP_UNIT_TESTS]
    integration = _files([path for area in chosen for path in area.integration])
    if any(APP_UNIT_TESTS in area.unit for area in chosen) and (code := _app_tests()):
        return code
    if unit and (code := _pytest(*unit, "-q", "-n", "2")):
        return code
    if not integration:
        return 0
    _provide_for_integration()
    if any(area.name == "toolchain" for area in chosen):
        go_tests()
    code = _pytest(*integration, "-v", "--durations=15", *_extra_arguments())
    return 0 if code == NO_TESTS else code


def test_changed() -> int:
    """The areas that this clone's changes touch."""
    touched = areas.touched_by(changed_files())
    return test() if len(touched) == len(areas.AREAS) else test_areas(touched)


def _files(beginnings: list[str]) -> list[str]:
    """The test files and folders that begin so; pytest takes no patterns."""
    there = sorted(str(path.relative_to(REPOSITORY)) for path in (REPOSITORY / INTEGRATION).iterdir())
    return [path for path in there if (path.startswith(tuple(beginnings)) and "/test_" in path) or path in beginnings]


def _provide_for_integration() -> None:
    provide()
    pulumi_state.ensure()
    if toolchain.ensure().is_ours:  # a Pulumi of the user's brings its own language hosts
        ensure_part(YAML_HOST)
    with step("Tools that only the tests need") as current:
        ensure_tools(ONLY_FOR_TESTS, current, LOGS / "apt.log")


def go_tests() -> None:
    """The plugins' own tests, with the flags of their build, so that Go's cache has most of it."""
    for part in (part for part in PARTS if list(part.source.rglob("*_test.go"))):
        with step(f"Go tests of the {part.title}") as current:
            run(test_command(part), current, cwd=part.source, env=go_environment(), log=LOGS / "go-test.log")


def check() -> int:
    """Format, lint, types and unit tests. The app's tests are left out when they have passed with the same files."""
    python_env.PROGRAM.ensure()
    state = digest(APP_INPUTS)
    if has_passed("app", state):
        line("the app's unit tests have passed with exactly these files; `make check A=app` runs them again")
        parts = [_lint, _types, _unit_tests]
    else:
        parts = [_lint, _types, _unit_tests, _app_tests]
    for part in parts:
        with step(part.__name__.strip("_").replace("_", " ")):
            code = part()
        if code:
            return code
        if part is _app_tests:
            remember_passed("app", state)
    return 0


def check_app() -> int:
    """The app's unit tests, whether or not they have passed before."""
    state = digest(APP_INPUTS)
    code = _app_tests()
    if code == 0:
        remember_passed("app", state)
    return code


def _lint() -> int:
    ruff = python_env.PROGRAM.folder / "bin" / "ruff"
    return _run(ruff, "format", "--check", "--quiet", ".") or _run(ruff, "check", "--quiet", ".")


def _types() -> int:
    return _run(python_env.PROGRAM.folder / "bin" / "mypy")


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
            code = _pytest(INTEGRATION, *(f"--ignore={path}" for path in BESIDE), *options)
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
    return _pytest(UNIT, "-q", "-n", "2")


def _pytest(*arguments: str) -> int:
    return _run(python_env.PROGRAM.python(), "-m", "pytest", f"--ignore={APP_UNIT_TESTS}", *arguments)


def _run(*command: str | Path) -> int:
    done = subprocess.run([str(part) for part in command], cwd=REPOSITORY, env=environment(), check=False)
    return done.returncode


def _extra_arguments() -> list[str]:
    """PYTEST_ARGS of the environment: `PYTEST_ARGS='-k gateway' make test`."""
    return os.environ.get("PYTEST_ARGS", "").split()
