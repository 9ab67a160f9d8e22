"""The virtual environment with the locked dependencies, made again only when the lock file changes."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from lab.debian import ensure_tools
from quickstart.console import Step, StepFailed, run, step
from quickstart.paths import LOGS, REPOSITORY, VENV

MARK = VENV / ".installed-from"
LOCKS = [REPOSITORY / "requirements.txt", REPOSITORY / "services" / "pageindex_app" / "requirements.txt"]
OLDEST_PYTHON = (3, 11)


def python() -> Path:
    """The interpreter that has the dependencies."""
    return VENV / "bin" / "python"


def ensure() -> None:
    """Make the environment, or leave it as it is when it was made from the same lock files."""
    with step("Python environment") as current:
        if sys.version_info < OLDEST_PYTHON:
            found = ".".join(map(str, sys.version_info[:3]))
            raise StepFailed(f"Python {found} is too old; 3.11 or newer is needed", "apt-get install python3.11")
        wanted = _wanted()
        if MARK.exists() and MARK.read_text() == wanted and python().exists():
            current.result("already there")
            return
        _create(current)
        MARK.write_text(wanted)


def _wanted() -> str:
    digest = hashlib.sha256(sys.version.encode())
    for path in [*LOCKS, REPOSITORY / "pyproject.toml"]:
        digest.update(path.read_bytes() if path.exists() else b"")
    return digest.hexdigest()


def _create(current: Step) -> None:
    log = LOGS / "python.log"
    MARK.unlink(missing_ok=True)
    if not _has_pip():
        shutil.rmtree(VENV, ignore_errors=True)
        current.say("creating .venv")
        if subprocess.run([sys.executable, "-c", "import ensurepip"], capture_output=True, check=False).returncode:
            ensure_tools({"ensurepip": "python3-venv"}, current, log)  # a module, never a command on PATH
        run([sys.executable, "-m", "venv", VENV], current, log=log, mend="apt-get install python3-venv")
    pip: list[str | Path] = [python(), "-m", "pip", "install", "--disable-pip-version-check", "--progress-bar", "off"]
    for lock in LOCKS:
        if lock.exists():
            run(
                [*pip, "--require-hashes", "-r", lock],
                current,
                log=log,
                mend="look whether the package index can be reached: pip download --no-deps -d /tmp idna",
            )
    # So that `python -m checks` and `import components` work from any directory.
    run([*pip, "--no-deps", "--no-build-isolation", "--editable", REPOSITORY], current, log=log)


def _has_pip() -> bool:
    if not python().exists():
        return False
    return subprocess.run([python(), "-m", "pip", "--version"], capture_output=True, check=False).returncode == 0


def environment_path() -> Path:
    """The directory to put first on PATH."""
    return VENV / "bin"
