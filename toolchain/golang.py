"""Find a Go that can build the parts, and run it with its progress shown."""

from __future__ import annotations

import functools
import json
import os
import platform
import re
import shutil
import subprocess
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path

from machine.console import Step, StepFailed, run
from toolchain.parts import PARTS, Part

INSTALLED_BY_HAND = Path("/usr/local/go/bin/go")  # where Go's own instructions put it, often without a PATH entry
SWITCHES_BY_ITSELF = (1, 21)  # from here on Go fetches the version that a go.mod asks for, unless told not to
OFFERED = "1.26.8"  # what the mending command installs; the parts were built with it
MODULES_UNREACHABLE = "go env GOPROXY  # modules are fetched from there: when it answers again, repeat the command"
_GO_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def version_tuple(text: str) -> tuple[int, ...]:
    """``go1.26.8`` and ``1.25.11`` as numbers that compare; a release candidate counts as its release."""
    return tuple(int(number) for number in re.findall(r"\d+", text.split("rc")[0].split("beta")[0])[:3])


def required_version(parts: Iterable[Part] = PARTS) -> str:
    """The highest Go version that a go.mod among the parts asks for."""
    directives = [
        match.group(1)
        for part in parts
        if (match := re.search(r"^go (\S+)", (part.source / "go.mod").read_text(encoding="utf-8"), re.MULTILINE))
    ]
    return max(directives, key=version_tuple)


def install_command() -> str:
    architecture = _GO_ARCHITECTURES.get(platform.machine(), platform.machine())
    archive = f"https://go.dev/dl/go{OFFERED}.linux-{architecture}.tar.gz"
    return f"curl -fsSL {archive} | tar -C /usr/local -xz && export PATH=/usr/local/go/bin:$PATH"


def find_go() -> Path:
    """A Go that is new enough; else StepFailed says what is there and what to install."""
    found = shutil.which("go") or (str(INSTALLED_BY_HAND) if os.access(INSTALLED_BY_HAND, os.X_OK) else None)
    if found is None:
        raise StepFailed("Go is not installed, and Pulumi has to be built with it here", mend=install_command())
    answer = subprocess.run(
        [found, "env", "-json", "GOVERSION", "GOTOOLCHAIN"], capture_output=True, text=True, cwd="/", check=False
    )
    if answer.returncode != 0:
        raise StepFailed(f"{found} does not run: {answer.stderr.strip()}", mend=install_command())
    settings = json.loads(answer.stdout)
    have, needed = settings.get("GOVERSION") or "an unknown version", required_version()
    may_switch = settings.get("GOTOOLCHAIN", "local").split("+")[-1] in ("auto", "path")
    if version_tuple(have) < version_tuple(needed) and not (may_switch and version_tuple(have) >= SWITCHES_BY_ITSELF):
        raise StepFailed(f"{found} is {have}, and Pulumi needs Go {needed} or newer", mend=install_command())
    return Path(found)


@functools.cache
def go_environment() -> Mapping[str, str]:
    """The user's own, so that proxies and caches stay what they are, without what would change the result."""
    environment = {
        key: value for key, value in os.environ.items() if key not in ("GOFLAGS", "GOWORK", "GOOS", "GOARCH")
    }
    # Without -mod=readonly a build could quietly rewrite the pins. CGO would ask for a C compiler for nothing.
    fixed = {"GOFLAGS": "-mod=readonly -buildvcs=false", "GOWORK": "off", "CGO_ENABLED": "0"}
    # The compiler is faster (a fifth was measured) when it collects its garbage later, up to a limit per process.
    return {"GOGC": "400", "GOMEMLIMIT": "2GiB"} | environment | fixed


def test_command(part: Part) -> list[str]:
    """The part's own tests, with the build's flags: then Go's build cache has most of it. Run it in its folder."""
    return [str(find_go()), "test", *part.build_flags(), "./..."]


class Progress:
    """Counts finished packages and fetched modules of all parts together, for one bar."""

    def __init__(self, current: Step, parts: Iterable[Part]):
        self._current = current
        self._lock = threading.Lock()
        self._totals = {part.folder: part.packages for part in parts}
        self._done = {part.folder: 0 for part in parts}

    def advance(self, part: Part) -> None:
        with self._lock:
            self._done[part.folder] = min(self._done[part.folder] + 1, self._totals[part.folder])
            self._show()

    def complete(self, part: Part) -> None:
        with self._lock:
            self._done[part.folder] = self._totals[part.folder]
            self._show()

    def say(self, text: str) -> None:
        self._current.say(text)

    def _show(self) -> None:
        self._current.progress(sum(self._done.values()), sum(self._totals.values()), "packages")


class _GoOutput(Step):
    """Stands in for the step that ``run`` reports to: reads what Go prints instead of only showing it."""

    def __init__(self, part: Part, progress: Progress):
        super().__init__(part.title)
        self._part = part
        self._progress = progress

    def say(self, activity: str) -> None:
        text = activity.strip()
        if text.startswith("go: downloading "):
            self._progress.say(f"fetching {text.removeprefix('go: downloading ')}")
        elif re.fullmatch(r"[\w.\-/~]+", text):  # `go build -v` prints the path of each package it compiles
            self._progress.advance(self._part)
            self._progress.say(f"{self._part.name}: {text}")


def run_go(go: Path, arguments: list[str], part: Part, progress: Progress, log: Path, mend: str = "") -> None:
    run(
        [go, *arguments],
        _GoOutput(part, progress),
        log=log,
        cwd=part.source,
        env=go_environment(),
        mend=mend,
    )


def module_folder(go: Path, module: str, part: Part) -> Path:
    """Where Go's module cache holds ``path@version``, fetched and checked against go.sum or the checksum database."""
    answer = subprocess.run(
        [go, "mod", "download", "-json", module],
        capture_output=True,
        text=True,
        cwd=part.source,
        env=go_environment(),
        check=False,
    )
    found = json.loads(answer.stdout or "{}")
    if "Dir" not in found:
        raise StepFailed(
            f"Go can't fetch {module}: {found.get('Error') or answer.stderr.strip()}",
            mend=MODULES_UNREACHABLE,
        )
    return Path(found["Dir"])
