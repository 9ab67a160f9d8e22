"""What has changed in a clone: since it left the main branch, and what is not committed yet."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

from machine.paths import REPOSITORY, STATE

MAIN_BRANCHES = ("origin/main", "main")


def changed_files(repository: Path = REPOSITORY) -> list[str]:
    """Files that differ from where the branch left main, uncommitted and new ones included."""
    base = next(
        (found for branch in MAIN_BRANCHES if (found := _git(repository, "merge-base", "HEAD", branch))), "HEAD"
    )
    differ = _git(repository, "diff", "--name-only", base.strip()).splitlines()
    new = _git(repository, "ls-files", "--others", "--exclude-standard").splitlines()
    return sorted({*differ, *new})


def _git(repository: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=repository, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else ""


def digest(paths: Iterable[str], repository: Path = REPOSITORY) -> str:
    """A hash of all that git knows or would know below ``paths``: names, modes and contents."""
    listed = _git(repository, "ls-files", "--cached", "--others", "--exclude-standard", "--", *paths).splitlines()
    total = hashlib.sha256()
    for name in sorted(set(listed)):
        path = repository / name
        if path.is_file():
            total.update(f"{name}\0{os.access(path, os.X_OK)}\0".encode() + path.read_bytes() + b"\0")
    return total.hexdigest()


def has_passed(part: str, state: str) -> bool:
    """Whether this part of `make check` has passed with exactly these files."""
    try:
        return _stamp(part).read_text(encoding="ascii") == state
    except OSError:
        return False


def remember_passed(part: str, state: str) -> None:
    """Remember it in this clone."""
    stamp = _stamp(part)
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.write_text(state, encoding="ascii")


def _stamp(part: str) -> Path:
    return STATE / "checked" / part
