"""GpuChecks: whether each replica runs on exactly its cards, as planned, asked when all of them have answered."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi

from components.command import ask
from planning.hosts.ssh import HostAddress
from planning.memory.cards import Card
from planning.memory.placement import Replica
from planning.settings.vllm import VllmSettings

MIB_PER_GIB = 1024
COMPATIBILITY = "VLLM_ENABLE_CUDA_COMPATIBILITY"


@dataclass(frozen=True, kw_only=True)
class CardsArgs:
    """The cards of the host, who gets which, and what vLLM will find on each."""

    card: Card
    count: int
    shared: bool
    """Whether the plan knows of others on the cards: a desktop, another service."""
    replicas: Sequence[Replica]
    vllm: VllmSettings
    vllm_image: str
    kv_tokens: int | None
    """Planned for each replica; None where its memory could not be planned."""

    def facts(self, containers: Sequence[pulumi.Input[str]] = ()) -> dict[str, Any]:
        """As `checks.host` and, with the replicas' containers, `checks.gpu` take them."""
        return {
            "cards": {
                "name": self.card.name,
                "count": self.count,
                "memory_mib": self.card.memory_mib,
                "usable_mib": round(self.card.cuda_gib * MIB_PER_GIB),
                "compute_capability": self.card.compute_capability,
                "unified": self.card.unified,
            },
            "shared_cards": self.shared,
            "replicas": [
                {
                    "container": containers[replica.index] if containers else None,
                    "cards": replica.cards,
                    "kv_tokens": self.kv_tokens,
                }
                for replica in self.replicas
            ],
            "gpu_memory_utilization": self.vllm.gpu_memory_utilization,
            "vllm_image": self.vllm_image,
            "cuda_compatibility": self.vllm.extra_env.get(COMPATIBILITY) == "1",
        }


@dataclass(frozen=True, kw_only=True)
class GpuChecksArgs:
    """``triggers`` change when a replica is replaced: then its cards are looked at again."""

    prefix: str
    cards: CardsArgs
    containers: Sequence[pulumi.Input[str]]
    """Of each replica."""
    triggers: Sequence[pulumi.Input[Any]]
    result: str = "gpu"
    """What its finding is called among those of the stack."""
    docker_host: HostAddress = None


class GpuChecks(pulumi.ComponentResource):
    """Each replica on exactly its cards, as planned. ``results`` has a table for readers and rows for programs."""

    results: pulumi.Output[dict[str, Any]]

    def __init__(self, name: str, args: GpuChecksArgs, opts: pulumi.ResourceOptions | None = None):
        super().__init__("pageindex-stack:index:GpuChecks", name, None, opts)
        asked = ask(
            f"{name}-cards",
            "gpu",
            {"docker_host": args.docker_host, "prefix": args.prefix, **args.cards.facts(args.containers)},
            triggers=args.triggers,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.results = asked.stdout.apply(lambda text: {args.result: json.loads(text)})
        self.register_outputs({"results": self.results})
