"""Proof that a model is what was downloaded: size and sha256 of every file against the manifest, without a network."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from model_downloader.progress import Progress
from model_downloader.store import MANIFEST, READY, FileRecord, Manifest, Model

CHUNK = 4 * 2**20
THREADS = min(8, os.cpu_count() or 1)  # hashing runs without the interpreter's lock


class Counter:
    """Bytes hashed so far, by all threads; only for show, so a lost update does no harm."""

    def __init__(self) -> None:
        self.bytes = 0

    def __call__(self) -> int:
        return self.bytes


def digest(path: Path, counter: Counter | None = None, git_blob: bool = False) -> str:
    """The file's sha256, or its git blob id."""
    found = hashlib.sha1(usedforsecurity=False) if git_blob else hashlib.sha256()
    if git_blob:
        found.update(b"blob %d\0" % path.stat().st_size)
    buffer = memoryview(bytearray(CHUNK))
    with path.open("rb", buffering=0) as file:
        while length := file.readinto(buffer):
            found.update(buffer[:length])
            if counter is not None:
                counter.bytes += length
    return found.hexdigest()


def verify(model: Model) -> Manifest:
    """The manifest of a model that is as it was downloaded; Failure at the first thing that isn't."""
    if not model.ready:
        raise model.changed(f"there is no complete copy of {model.repo} {model.revision} at {model.directory}")
    manifest = model.read_manifest()
    known = {record.path for record in manifest.files} | {MANIFEST, READY}
    for path in sorted(model.directory.rglob("*")):
        name = path.relative_to(model.directory).as_posix()
        if not path.is_dir() and name not in known:
            raise model.changed(f"{path} was not downloaded with {model.repo}: unexpected file")
    for record in manifest.files:
        _check_size(model, record)
    counter = Counter()
    with Progress(manifest.total_bytes, counter, "verified"), ThreadPoolExecutor(THREADS) as pool:
        largest_first = sorted(manifest.files, key=lambda record: -record.size)
        found = pool.map(lambda record: digest(model.directory / record.path, counter), largest_first)
        for record, sha256 in zip(largest_first, found, strict=True):
            if sha256 != record.sha256:
                pool.shutdown(cancel_futures=True)
                raise model.changed(
                    f"{model.directory / record.path} has changed: expected sha256 {record.sha256}, got {sha256}"
                )
    return manifest


def _check_size(model: Model, record: FileRecord) -> None:
    path = model.directory / record.path
    if path.is_symlink() or not path.is_file():
        raise model.changed(f"{path} is missing: expected {record.size} bytes")
    size = path.stat().st_size
    if size != record.size:
        raise model.changed(f"{path} has changed: expected {record.size} bytes, got {size}")
