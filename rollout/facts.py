"""What a rollout is told, and what it sees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from planning.hosts.names import VLLM_PORT
from planning.hosts.ssh import HostAddress
from planning.rules.modes import RolloutMode
from planning.settings.model import Task


@dataclass(frozen=True, kw_only=True)
class Facts:
    """One replica that shall be in use. ``gateway`` is the container that sends it requests, if there is one.

    ``served`` is the model's name where the stack serves several: each has replicas and slots of its own.
    """

    prefix: str
    slot: int
    slots: int
    container: str
    what: str
    served_models: tuple[str, ...]
    served: str = ""
    task: Task = "chat"
    mode: RolloutMode = "recreate"
    rollback: bool = True
    gateway: str | None = None
    restart: str = "unless-stopped"
    startup_timeout_s: float = 900
    drain_timeout_s: float = 120
    stop_timeout_s: float = 30
    docker_host: HostAddress = None

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> Self:
        """From JSON. ValueError names a key that is missing or that nobody reads."""
        names = {each.name for each in fields(cls)}
        if unknown := sorted(set(given) - names):
            raise ValueError(f"the rollout does not know {', '.join(unknown)}")
        try:
            return cls(**{**given, "served_models": tuple(given.get("served_models", ()))})
        except TypeError as error:  # Python's own words name what is missing
            raise ValueError(str(error)) from None


@dataclass(frozen=True, kw_only=True)
class Replica:
    """A container of this stack that serves a model, or did, or shall."""

    name: str
    slot: int
    model: str
    status: str
    """Docker's word: created, running, exited, …"""
    healthy: bool = False
    restarts: int = 0
    """How often Docker started it again by itself."""

    @property
    def running(self) -> bool:
        return self.status in {"running", "restarting", "paused"}

    @property
    def address(self) -> str:
        """Docker's DNS knows a container by its name."""
        return f"{self.name}:{VLLM_PORT}"
