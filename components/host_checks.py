"""HostChecks: whether the host can run the stack, asked before anything is pulled."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi

from components.command import ask
from components.gpu_checks import CardsArgs
from planning.hosts.ssh import HostAddress


@dataclass(frozen=True, kw_only=True)
class HostChecksArgs:
    """What the stack brings to the host. ``cards`` is None on the CPU."""

    prefix: str
    images: Sequence[str]
    bind: str
    ports: Sequence[int]
    cards: CardsArgs | None = None
    model_directory: str = ""
    """Where the weights lie in the stack's volume."""
    weights_bytes: int | None = None
    local_weights: str | None = None
    """Directory of the host that holds them instead."""
    waivers: Mapping[str, str] | None = None
    result: str = "host"
    """What its finding is called among those of the stack."""
    docker_host: HostAddress = None

    def facts(self) -> dict[str, Any]:
        """As `checks.host` takes them."""
        return {
            "docker_host": self.docker_host,
            "prefix": self.prefix,
            "images": list(self.images),
            "bind": self.bind,
            "ports": list(self.ports),
            "weights": {
                "directory": self.model_directory,
                "bytes": self.weights_bytes,
                "local_path": self.local_weights,
            },
            "waivers": dict(self.waivers or {}),
            **(self.cards.facts() if self.cards else {"cards": None}),
        }


class HostChecks(pulumi.ComponentResource):
    """Engine, cards, driver, disk, ports. What depends on it starts only on a host that passed."""

    results: pulumi.Output[dict[str, Any]]

    def __init__(self, name: str, args: HostChecksArgs, opts: pulumi.ResourceOptions | None = None):
        super().__init__("pageindex-stack:index:HostChecks", name, None, opts)
        asked = ask(
            f"{name}-fit",
            "host",
            args.facts(),
            triggers=[],  # changed facts are a changed input, and ask again
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.results = asked.stdout.apply(lambda text: {args.result: json.loads(text)})
        self.register_outputs({"results": self.results})
