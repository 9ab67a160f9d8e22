"""How models lie on the volume: ``<org>--<name>/<revision>/`` with files, manifest.json and READY.

A directory gets its name by one rename when everything in it is complete, READY included; until then it is a hidden
sibling. So what has READY was complete once, whatever was killed when.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from model_downloader.failure import BAD_ARGUMENTS, CHANGED_FILE, HUB_REFUSED, NO_SPACE, Failure
from model_downloader.progress import say

MANIFEST = "manifest.json"
READY = "READY"
LOCK_POLL_S = 0.2
NAME = r"(?!\.)[\w.-]{1,96}"  # never hidden, never ``..``
REPO = re.compile(rf"{NAME}(/{NAME})?")
REVISION = re.compile(rf"{NAME}(/{NAME})*")


@dataclass(frozen=True)
class FileRecord:
    """One file of a complete model."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What a complete model consists of."""

    repo: str
    revision: str
    commit: str
    files: list[FileRecord]

    @property
    def total_bytes(self) -> int:
        return sum(file.size for file in self.files)


@dataclass(frozen=True)
class Model:
    """One revision of one model, and where it lies."""

    root: Path
    repo: str
    revision: str
    forget_command: str

    def __post_init__(self) -> None:
        if not REPO.fullmatch(self.repo):
            raise Failure(
                BAD_ARGUMENTS, f"{self.repo!r} is not a model id", "give it as ORGANISATION/NAME, as the hub shows it"
            )
        if not REVISION.fullmatch(self.revision):
            raise Failure(BAD_ARGUMENTS, f"{self.revision!r} is not a revision", "give a branch, a tag or a commit")

    @property
    def home(self) -> Path:
        return self.root / self.repo.replace("/", "--")

    @property
    def directory(self) -> Path:
        return self.home / self.revision

    @property
    def ready(self) -> bool:
        return (self.directory / READY).is_file()

    def staging(self, commit: str) -> Path:
        return self.home / f".partial-{commit}"

    def changed(self, what: str) -> Failure:
        """The refusal of a copy that is not what was downloaded."""
        mend = f"{self.forget_command} {self.repo} {self.revision}   and deploy again: it is then downloaded anew"
        return Failure(CHANGED_FILE, what, mend)

    def read_manifest(self) -> Manifest:
        path = self.directory / MANIFEST
        try:
            content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            files = [FileRecord(**entry) for entry in content.pop("files")]
            manifest = Manifest(**content, files=files)
        except FileNotFoundError:
            raise self.changed(f"{path} is missing, so {self.repo} cannot be verified") from None
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise self.changed(f"{path} is not a manifest ({error}), so {self.repo} cannot be verified") from None
        if (manifest.repo, manifest.revision) != (self.repo, self.revision):
            raise self.changed(f"{path} is of {manifest.repo} {manifest.revision}, not of {self.repo} {self.revision}")
        return manifest

    def publish(self, staging: Path, manifest: Manifest) -> None:
        """Make a complete staging directory the model. The last step, one rename, is what makes it visible."""
        shutil.rmtree(staging / ".cache", ignore_errors=True)
        _write_durably(staging / MANIFEST, json.dumps(asdict(manifest), indent=1) + "\n")
        _write_durably(staging / READY, f"{manifest.commit}\n")
        self.directory.parent.mkdir(parents=True, exist_ok=True)
        if self.directory.exists():  # without READY, or nobody would have come here
            remove(self.directory)
        staging.rename(self.directory)
        _sync(self.directory.parent)

    def forget(self) -> int:
        """Remove this revision and every unfinished download of the model; how many bytes that freed."""
        freed = 0
        for directory in [self.directory, *self.home.glob(".partial-*"), *self.home.glob(".removed-*")]:
            if directory.is_dir():
                freed += used_bytes(directory)
                remove(directory)
        self.remove_empty_parents()
        return freed

    def remove_empty_parents(self) -> None:
        """A revision with slashes, such as refs/pr/1, lies in directories of its own."""
        for parent in self.directory.parents:
            if parent == self.root or any(parent.iterdir() if parent.is_dir() else ()):
                break
            with contextlib.suppress(FileNotFoundError):
                parent.rmdir()

    def mark_verified(self) -> None:
        """READY's time is when the copy was last found right; on a read-only mount it stays."""
        with contextlib.suppress(OSError):
            os.utime(self.directory / READY)

    @contextlib.contextmanager
    def locked(self, deadline: float, *, exclusive: bool) -> Iterator[None]:
        """Alone with this model's directories, or together with others that only read them."""
        path = self.root / ".locks" / f"{self.home.name}.lock"
        mode = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o664)
        except OSError as error:
            if exclusive:
                user = f"{os.getuid()}:{os.getgid()}"
                raise Failure(
                    NO_SPACE,
                    f"{self.root} cannot be written as user {user}: {error.strerror}",
                    f"give what lies at {self.root} to that user: chown -R {user}",
                ) from error
            descriptor = None  # mounted read-only: then nobody writes beside this reader
        if descriptor is None:
            yield
            return
        try:
            told = False
            while True:
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
                    break
                if time.monotonic() > deadline:
                    raise Failure(
                        HUB_REFUSED,
                        f"another downloader holds {self.repo} and did not finish in time",
                        "docker ps   shows which container mounts the volume; wait for it or stop it",
                    )
                if not told:
                    say(f"another downloader works on {self.repo}, waiting for it")
                    told = True
                time.sleep(LOCK_POLL_S)
            yield
        finally:
            os.close(descriptor)


def used_bytes(directory: Path) -> int:
    """Bytes of all files below, finished or not; files may come and go meanwhile."""
    total = 0
    for path in directory.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            if path.is_file():
                total += path.stat().st_size
    return total


def remove(directory: Path) -> None:
    """Take a directory away. It loses its name first, so that nobody finds half of it."""
    gone = directory.with_name(f".removed-{directory.name}-{os.getpid()}")
    directory.rename(gone)
    shutil.rmtree(gone)


def _write_durably(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
