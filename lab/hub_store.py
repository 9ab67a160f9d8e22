"""What the model hub serves: one directory of files, described as the Hub describes a git repository with LFS."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

COMMIT = re.compile(r"[0-9a-f]{40}")
REPO_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
LFS_SUFFIXES = (".safetensors", ".bin", ".pt", ".pkl", ".gguf", ".onnx")
LFS_FROM_BYTES = 10 * 2**20
LAST_MODIFIED = "2025-02-06T00:00:00.000Z"

# What a repository on the Hub also holds and nobody should download to serve it. The last one is a pickle.
COMPANIONS = {
    ".gitattributes": b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n*.bin filter=lfs diff=lfs merge=lfs -text\n",
    "README.md": b"---\nlicense: apache-2.0\n---\n# A small model, served by the lab\n",
    "training_args.bin": b"\x80\x04\x95\x0f\x00\x00\x00\x00\x00\x00\x00\x8c\x0btraining_args\x94.",
}


@dataclass(frozen=True)
class HubFile:
    """One file with the checksums that the Hub publishes."""

    path: str
    size: int
    sha256: str
    git_sha1: str
    lfs: bool
    source: Path | bytes

    @property
    def etag(self) -> str:
        return self.sha256 if self.lfs else self.oid

    @cached_property
    def _pointer(self) -> bytes:
        return f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {self.size}\n".encode()

    @property
    def oid(self) -> str:
        """The git blob: the file itself, or the small pointer that stands for a large one."""
        if not self.lfs:
            return self.git_sha1
        return hashlib.sha1(b"blob %d\0" % len(self._pointer) + self._pointer, usedforsecurity=False).hexdigest()

    def tree_entry(self) -> dict[str, Any]:
        entry: dict[str, Any] = {"type": "file", "oid": self.oid, "size": self.size, "path": self.path}
        if self.lfs:
            entry["lfs"] = {"oid": self.sha256, "size": self.size, "pointerSize": len(self._pointer)}
        return entry

    def sibling(self, with_blobs: bool) -> dict[str, Any]:
        if not with_blobs:
            return {"rfilename": self.path}
        entry: dict[str, Any] = {"rfilename": self.path, "size": self.size, "blobId": self.oid}
        if self.lfs:
            entry["lfs"] = {"sha256": self.sha256, "size": self.size, "pointerSize": len(self._pointer)}
        return entry


def describe(path: str, source: Path | bytes) -> HubFile:
    size = len(source) if isinstance(source, bytes) else source.stat().st_size
    sha256, sha1 = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    if isinstance(source, bytes):
        sha256.update(source)
        sha1.update(source)
    else:
        with source.open("rb") as file:
            while chunk := file.read(2**20):
                sha256.update(chunk)
                sha1.update(chunk)
    lfs = path.endswith(LFS_SUFFIXES) or size >= LFS_FROM_BYTES
    return HubFile(path, size, sha256.hexdigest(), sha1.hexdigest(), lfs, source)


@dataclass(frozen=True)
class Snapshot:
    """The files of a directory, read and hashed once."""

    files: dict[str, HubFile]

    @classmethod
    def of(cls, directory: Path, companions: bool = True) -> Snapshot:
        sources: dict[str, Path | bytes] = {**COMPANIONS} if companions else {}
        for path in directory.rglob("*"):
            if path.is_file():
                sources[path.relative_to(directory).as_posix()] = path
        return cls({path: describe(path, sources[path]) for path in sorted(sources)})

    def commit(self, repo: str) -> str:
        """The head of the repository's main branch: the same content under the same id gives the same commit."""
        listing = repo + "".join(f"\n{file.path} {file.sha256}" for file in self.files.values())
        return hashlib.sha1(listing.encode(), usedforsecurity=False).hexdigest()


@dataclass
class Store:
    """Which repository ids exist, what is in them, and who may read them."""

    default: Snapshot | None = None  # served under every id, or under those in ``known`` if that isn't None
    known: set[str] | None = None
    repos: dict[str, Snapshot] = field(default_factory=dict)
    gated: dict[str, set[str]] = field(default_factory=dict)  # repository id → tokens that may read its files
    tokens: set[str] = field(default_factory=set)  # further tokens that the hub knows

    def find(self, repo: str) -> Snapshot | None:
        if repo in self.repos:
            return self.repos[repo]
        if self.known is not None and repo not in self.known:
            return None
        return self.default

    def resolve(self, repo: str, snapshot: Snapshot, revision: str) -> str | None:
        """The commit that a revision means. Catalogs pin commits of the real Hub: any full one has this content."""
        if COMMIT.fullmatch(revision):
            return revision
        return snapshot.commit(repo) if revision in ("main", "refs/heads/main") else None

    def knows_token(self, token: str) -> bool:
        return token in self.tokens or any(token in tokens for tokens in self.gated.values())

    def model_info(self, repo: str, snapshot: Snapshot, commit: str, with_blobs: bool) -> dict[str, Any]:
        return {
            "_id": snapshot.commit(repo)[:24],
            "id": repo,
            "modelId": repo,
            "author": repo.rpartition("/")[0] or None,
            "sha": commit,
            "createdAt": LAST_MODIFIED,
            "lastModified": LAST_MODIFIED,
            "private": False,
            "disabled": False,
            "gated": "manual" if repo in self.gated else False,
            "downloads": 0,
            "likes": 0,
            "library_name": "transformers",
            "pipeline_tag": "text-generation",
            "tags": ["transformers", "safetensors", "llama", "text-generation"],
            "usedStorage": sum(file.size for file in snapshot.files.values()),
            "siblings": [file.sibling(with_blobs) for file in snapshot.files.values()],
        }

    def tree(self, snapshot: Snapshot, folder: str, recursive: bool) -> list[dict[str, Any]] | None:
        """The entries below a folder, folders among them; None if there is no such folder."""
        prefix = f"{folder}/" if folder else ""
        folders: dict[str, dict[str, Any]] = {}
        files = []
        for path, file in snapshot.files.items():
            if not path.startswith(prefix):
                continue
            parents = path.removeprefix(prefix).split("/")[:-1]
            for depth in range(1, (len(parents) if recursive else min(1, len(parents))) + 1):
                name = prefix + "/".join(parents[:depth])
                oid = hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest()
                folders[name] = {"type": "directory", "oid": oid, "size": 0, "path": name}
            if recursive or not parents:
                files.append(file.tree_entry())
        return [*folders.values(), *files] or None
