"""Service: what one container is, said once. Docker renders it today; another engine renders the same description."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Network = Literal["internal", "edge", "egress", "other-stack"]
"""``internal`` has no way out, ``edge`` publishes ports, ``egress`` reaches the model hub; ``other-stack`` is the
internal network of another stack on the same host."""

Need = Literal["verified-weights", "other-stack"]
"""Weights that were compared with their manifest; another stack on the same host, whose network is joined."""

FILES_VOLUME = "files"


@dataclass(frozen=True, kw_only=True)
class Volume:
    """``name`` is what the stack calls the volume; the engine's component knows what it is on the host."""

    name: str
    path: str
    read_only: bool = False


@dataclass(frozen=True, kw_only=True)
class Scratch:
    """A directory in memory that is empty at each start."""

    path: str
    size_mib: int | None = None
    executable: bool = False
    owner: int | None = None
    """User id; None is root."""


@dataclass(frozen=True, kw_only=True)
class Health:
    """A command inside the container that ends with 0 while the service is well."""

    command: tuple[str, ...]
    startup_s: int
    """How long a first success may take; failures before that do not count."""
    timeout_s: int = 5
    interval_s: int = 10


@dataclass(frozen=True, kw_only=True)
class PublishedPort:
    """A port of the container that is a port of the host."""

    inside: int
    outside: int
    address: str


@dataclass(frozen=True, kw_only=True)
class LogLimits:
    """The log is rotated: files of ``max_mib``, the last ``max_files`` of them kept."""

    max_mib: int = 100
    max_files: int = 5


@dataclass(frozen=True, kw_only=True)
class Service:
    """One container without its engine. Its root is read-only and it has no capability, whoever renders it.

    The values of secrets are not in it: ``secret_files`` names the files, and the component that deploys the service
    brings their contents.
    """

    component: str
    """Its name in the stack, and the label by which its containers are found."""
    user: str
    """``uid:0``: files are readable by group 0 only."""
    networks: tuple[Network, ...]
    alias: str | None = None
    """A name on the internal network beside the container's own."""
    entrypoint: tuple[str, ...] = ()
    """Empty keeps the image's own."""
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    """Name to content of each file that isn't secret."""
    secret_files: frozenset[str] = frozenset()
    volumes: tuple[Volume, ...] = ()
    scratch: tuple[Scratch, ...] = ()
    memory_mib: int | None = None
    """None sets no limit."""
    shared_memory_mib: int | None = None
    health: Health | None = None
    """None where nothing waits for the service and no request depends on it."""
    stop_grace_s: int | None = None
    """How long it may finish its work after a stop signal; None is the engine's default."""
    stop_signal: str | None = None
    restart: str = "unless-stopped"
    logs: LogLimits = LogLimits()
    ports: tuple[PublishedPort, ...] = ()
    cards: tuple[int, ...] = ()
    """Indexes of its cards; empty on the CPU."""
    reached_by: tuple[str, ...] = ()
    """Components that send requests to it; nobody else needs a way to it."""
    needs: tuple[Need, ...] = ()
    """What is there before it starts, whoever brings it."""
    identity: tuple[object, ...] = ()
    """Values whose change is a change of the service where an engine does not see it by itself."""

    def __post_init__(self) -> None:
        if (self.files or self.secret_files) and not any(volume.name == FILES_VOLUME for volume in self.volumes):
            raise ValueError(f"{self.component}: has files, but no volume {FILES_VOLUME!r} to find them in")

    @property
    def isolated(self) -> bool:
        """Whether it has neither a published port nor a network with a way out."""
        return not self.ports and set(self.networks) <= {"internal", "other-stack"}


def stable_hash(*parts: object) -> str:
    """Short stable hash of plain values."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]
