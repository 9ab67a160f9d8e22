"""The virtual environments with the locked dependencies: the program's, and the one of the app's unit tests."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from machine.console import Step, StepFailed, run, step
from machine.debian import ensure_tools
from machine.paths import LOGS, REPOSITORY, VENV

SERVICE = REPOSITORY / "services" / "pageindex_app"
OLDEST_PYTHON = (3, 11)


@dataclass(frozen=True)
class Environment:
    """A virtual environment with the dependencies of lock files, made again only when one of them changes."""

    title: str
    folder: Path
    locks: tuple[Path, ...]
    has_project: bool

    def python(self) -> Path:
        """The interpreter that has the dependencies."""
        return self.folder / "bin" / "python"

    def ensure(self) -> None:
        """Make the environment, or leave it as it is when it was made from the same lock files."""
        with step(self.title) as current:
            if sys.version_info < OLDEST_PYTHON:
                found = ".".join(map(str, sys.version_info[:3]))
                raise StepFailed(f"Python {found} is too old; 3.11 or newer is needed", "apt-get install python3.11")
            mark, wanted = self.folder / ".installed-from", self._wanted()
            if mark.exists() and mark.read_text() == wanted and self.python().exists():
                current.result("already there")
                return
            mark.unlink(missing_ok=True)
            self._create(current)
            mark.write_text(wanted)

    def _wanted(self) -> str:
        digest = hashlib.sha256(f"{sys.version} {self.folder}".encode())
        for path in [*self.locks, REPOSITORY / "pyproject.toml"]:
            digest.update(path.read_bytes())
        return digest.hexdigest()

    def _create(self, current: Step) -> None:
        log = LOGS / "python.log"
        if not self._has_pip():
            shutil.rmtree(self.folder, ignore_errors=True)
            current.say(f"creating {self.folder.name}")
            if subprocess.run([sys.executable, "-c", "import ensurepip"], capture_output=True, check=False).returncode:
                ensure_tools({"ensurepip": "python3-venv"}, current, log)  # a module, never a command on PATH
            run([sys.executable, "-m", "venv", self.folder], current, log=log, mend="apt-get install python3-venv")
        pip: list[str | Path] = [self.python(), "-m", "pip", "install", "--disable-pip-version-check"]
        for lock in self.locks:
            run(
                [*pip, "--progress-bar", "off", "--require-hashes", "-r", lock],
                current,
                log=log,
                mend="look whether the package index can be reached: pip download --no-deps -d /tmp idna",
            )
        if self.has_project:  # so that `python -m checks` and `import components` work from any directory
            run([*pip, "--no-deps", "--no-build-isolation", "--editable", REPOSITORY], current, log=log)

    def _has_pip(self) -> bool:
        if not self.python().exists():
            return False
        asked = subprocess.run([self.python(), "-m", "pip", "--version"], capture_output=True, check=False)
        return asked.returncode == 0


PROGRAM = Environment("Python environment", VENV, (REPOSITORY / "requirements.txt",), has_project=True)
# The app's 80 packages are nothing that the program's users need, and some exclude versions that the program has.
APP_TESTS = Environment(
    "Python environment of the app's tests",
    REPOSITORY / ".venv-app",
    (SERVICE / "requirements.txt", SERVICE / "requirements-test.txt"),
    has_project=False,
)
