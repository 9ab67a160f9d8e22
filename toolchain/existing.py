"""Is there a Pulumi on PATH already? Answered in milliseconds, because every new shell asks."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

from machine.paths import cache

OLDEST_USED = (3, 200)  # older ones don't know options that the program uses
_VERSION_TIMEOUT_S = 20


def find_existing() -> Path | None:
    """The folder of the first Pulumi on PATH that isn't ours, if it is new enough to be used."""
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        found = shutil.which("pulumi", path=folder) if folder else None
        if found is None or Path(folder).resolve().is_relative_to((cache() / "toolchain").resolve()):
            continue
        # Only the first counts: it is the one that the user runs.
        return Path(folder) if _version(Path(found)) >= OLDEST_USED else None
    return None


def _version(program: Path) -> tuple[int, ...]:
    """Ask the program once (0.1 s and more) and remember the answer for as long as the file is the same."""
    info = program.stat()
    identity = f"{program} {info.st_size} {info.st_mtime_ns}"
    memory = cache() / "toolchain" / "found-pulumi.json"
    try:
        remembered = json.loads(memory.read_text(encoding="utf-8"))
        if remembered["identity"] == identity:
            return tuple(remembered["version"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # nothing remembered, or nothing that can be read
    version = _ask(program)
    try:
        memory.parent.mkdir(parents=True, exist_ok=True)
        beside = memory.with_name(f".{memory.name}-{os.getpid()}")
        beside.write_text(json.dumps({"identity": identity, "version": version}), encoding="utf-8")
        beside.replace(memory)
    except OSError:
        pass  # asked again next time
    return version


def _ask(program: Path) -> tuple[int, ...]:
    try:
        answer = subprocess.run(
            [program, "version"],
            capture_output=True,
            text=True,
            timeout=_VERSION_TIMEOUT_S,
            env=os.environ | {"PULUMI_SKIP_UPDATE_CHECK": "1"},
            check=False,
        )
        return tuple(int(number) for number in answer.stdout.strip().removeprefix("v").split("-")[0].split("."))
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return (0,)  # something called pulumi that doesn't say a version isn't used
