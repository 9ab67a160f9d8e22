"""`make test`: every test there is, on the real engine, Docker, nginx and vLLM, from whatever the machine has."""

from __future__ import annotations

import os
import subprocess

from quickstart import pulumi_state, python_env
from quickstart.console import StepFailed, line, step
from quickstart.environment import environment
from quickstart.paths import REPOSITORY
from quickstart.up import provide

GO_TESTS = REPOSITORY / "toolchain" / "command_plugin"


def test() -> int:
    """Provide what is missing, then run the toolchain's Go tests and all of pytest; its closing line comes last."""
    python_env.ensure()
    provide()
    pulumi_state.ensure()
    with step("Go tests of the command plugin") as current:
        done = subprocess.run(["go", "test", "./..."], cwd=GO_TESTS, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise StepFailed(
                "the command plugin's tests failed",
                f"cd {GO_TESTS.relative_to(REPOSITORY)} && go test ./...",
                (done.stdout + done.stderr).splitlines()[-40:],
            )
        current.result("passed")
    line("running pytest; the integration tests take minutes, their set-up lines show what they are at")
    command = [str(python_env.python()), "-m", "pytest", "-v", "--durations=15", *_extra_arguments()]
    return subprocess.run(command, cwd=REPOSITORY, env=environment(), check=False).returncode


def check() -> int:
    """Format, lint, types and unit tests: under a minute on a warm machine."""
    python_env.ensure()
    tools = python_env.environment_path()
    for command in (
        [tools / "ruff", "format", "--check", "."],
        [tools / "ruff", "check", "."],
        [tools / "mypy"],
        [python_env.python(), "-m", "pytest", "tests/unit", "-q", "-n", "2"],
    ):
        done = subprocess.run([str(part) for part in command], cwd=REPOSITORY, env=environment(), check=False)
        if done.returncode != 0:
            return done.returncode
    return 0


def _extra_arguments() -> list[str]:
    """PYTEST_ARGS of the environment: `PYTEST_ARGS='-k gateway' make test`."""
    return os.environ.get("PYTEST_ARGS", "").split()
