"""HostChecks: whether the host can run the stack, asked before anything is pulled."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi

from components.command import ask
from components.gpu_checks import CardsArgs
from planning.hosts.images import resolve_image
from planning.hosts.ssh import HostAddress, host_facts
from planning.memory.budget import weights_gib
from planning.plan import StackPlan
from planning.settings.vllm import VllmSettings


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
    docker_host: HostAddress = None

    @classmethod
    def of(cls, plan: StackPlan) -> HostChecksArgs:
        """What a planned stack brings."""
        gateway = plan.settings.gateway
        return cls(
            prefix=plan.prefix,
            images=[plan.vllm_image, resolve_image("python"), resolve_image("nginx")],
            bind=gateway.bind,
            ports=[gateway.api_port, gateway.app_port],
            cards=CardsArgs.of(plan),
            model_directory=plan.model_directory,
            weights_bytes=_bytes_on_disk(plan),
            local_weights=plan.local_path,
            waivers={str(name): reason for name, reason in plan.settings.waivers.items()},
            docker_host=host_facts(plan.settings.host),
        )

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


def _bytes_on_disk(plan: StackPlan) -> int | None:
    """As the hub lists them, else computed from the model's dimensions; None where neither is known."""
    if plan.model.bytes_on_disk or plan.model.architecture is None:
        return plan.model.bytes_on_disk
    return int(weights_gib(plan.model, VllmSettings()) * 2**30)  # whole, as it lies on disk


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
        self.results = asked.stdout.apply(lambda text: {"host": json.loads(text)})
        self.register_outputs({"results": self.results})
