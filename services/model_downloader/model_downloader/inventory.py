"""What lies on the volume, and how what nobody needs any more goes away."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from model_downloader.progress import amount, say
from model_downloader.store import MANIFEST, READY, Model, remove, used_bytes

PARTIAL = ".partial-"


@dataclass(frozen=True)
class Entry:
    """One copy, or an unfinished download (without ``verified_at``)."""

    repo: str
    revision: str
    commit: str
    bytes: int
    complete: bool
    verified_at: str | None
    """When its checksums were last found right, in UTC."""


def inventory(root: Path) -> list[Entry]:
    """Everything that takes space on the volume, the largest first."""
    entries = []
    for home in sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")):
        entries += [_complete(home, ready.parent) for ready in sorted(home.rglob(READY)) if ready.is_file()]
        repo = home.name.replace("--", "/", 1)
        entries += [
            Entry(repo, "", partial.name.removeprefix(PARTIAL), used_bytes(partial), False, None)
            for partial in sorted(home.glob(f"{PARTIAL}*"))
        ]
    return sorted(entries, key=lambda entry: -entry.bytes)


def _complete(home: Path, directory: Path) -> Entry:
    """By its manifest; a copy whose manifest is damaged by its place."""
    ready = directory / READY
    repo, revision = home.name.replace("--", "/", 1), directory.relative_to(home).as_posix()
    try:
        manifest = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
        if Model(home.parent, manifest["repo"], manifest["revision"], "").directory == directory:
            repo, revision = manifest["repo"], manifest["revision"]
    except (OSError, ValueError, KeyError, TypeError):
        pass
    seen = datetime.fromtimestamp(ready.stat().st_mtime, UTC).isoformat(timespec="seconds")
    commit = ready.read_text(encoding="utf-8", errors="replace").strip()
    return Entry(repo, revision, commit, used_bytes(directory), True, seen)


def listing(root: Path) -> str:
    """The inventory as one line of JSON."""
    return json.dumps([asdict(entry) for entry in inventory(root)])


def prune(root: Path, keep: Collection[tuple[str, str]], deadline: float) -> str:
    """Remove every copy but those to keep, and every unfinished download; what was done as one line of JSON."""
    removed, freed = [], 0
    for entry in inventory(root):
        if entry.complete and (entry.repo, entry.revision) in keep:
            continue
        model = Model(root, entry.repo, entry.revision or entry.commit, "")
        directory = model.directory if entry.complete else model.staging(entry.commit)
        with model.locked(deadline, exclusive=True):
            if directory.is_dir():  # as it was a moment ago: nobody else removed it or finished it meanwhile
                remove(directory)
        model.remove_empty_parents()
        say(f"{entry.repo} {entry.revision or 'unfinished'}: {amount(entry.bytes)} freed")
        removed.append([entry.repo, entry.revision])
        freed += entry.bytes
    return json.dumps({"removed": removed, "freed_bytes": freed})
