"""What a plan looks like to a reader: a table of what needs how much, and a bar for each card."""

from __future__ import annotations

from collections.abc import Sequence

from planning.memory.budget import CardBudget, MemoryPlan
from planning.memory.cards import Card
from planning.memory.cpu_budget import CpuPlan
from planning.memory.placement import Replica
from planning.memory.suggestions import Suggestion

BAR_WIDTH = 64
PIECES = (
    ("weights", "█"),
    ("activation", "▓"),
    ("sampler", "▒"),
    ("runtime", "▒"),
    ("pinned", "▒"),
    ("graphs", "▒"),
    ("kv", "░"),
)  # fmt: skip
NAMES = {
    "weights": "weights",
    "activation": "one step's peak",
    "sampler": "sampler's counts for penalties",
    "runtime": "kernels and workspaces",
    "pinned": "not given back by profiling",
    "graphs": "CUDA graphs",
    "outside": "outside vLLM: context, NCCL, others",
    "kv": "left for KV cache",
    "beside": "beside that: what vLLM doesn't count",
}


NOT_ALWAYS = (NAMES["sampler"], NAMES["pinned"], NAMES["beside"])  # left out where they are nothing


def memory_table(plan: MemoryPlan) -> str:
    """What needs how much of a card, and what is there; one column a pipeline stage."""
    columns = plan.cards
    rows = [
        (NAMES["weights"], [card.weights for card in columns]),
        (NAMES["activation"], [card.activation for card in columns]),
        (NAMES["sampler"], [card.sampler for card in columns]),
        (NAMES["runtime"], [card.runtime for card in columns]),
        (NAMES["pinned"], [card.pinned for card in columns]),
        (NAMES["graphs"], [card.graphs for card in columns]),
        ("needed before KV cache", [card.needed for card in columns]),
        ("allowed: total × gpu_memory_utilization", [card.allowed for card in columns]),
        (NAMES["kv"], [card.kv for card in columns]),
        (NAMES["beside"], [card.beside for card in columns]),
        (NAMES["outside"], [card.outside for card in columns]),
        ("total of the card", [card.total for card in columns]),
    ]
    head = "" if len(columns) == 1 else "".join(f"  stage {index}" for index in range(len(columns)))
    lines = [f"{'GiB a card':<40}{head}".rstrip()]
    lines += [
        f"{name:<40}" + "".join(f"{value:9.2f}" for value in values)
        for name, values in rows
        if name not in NOT_ALWAYS or any(round(value, 2) for value in values)
    ]
    one = max(card.kv_bytes_per_token for card in columns) * plan.max_model_len / 2**30
    lines.append(f"{'KV cache of one request of full length':<40}{one:9.2f}")
    lines.append(
        f"KV cache holds {plan.kv_tokens:,} tokens: {plan.full_requests:.2f} requests of {plan.max_model_len:,} tokens"
    )
    return "\n".join(lines)


def verdict(plan: MemoryPlan) -> str:
    """One line: does it fit."""
    if not plan.has_room:
        card = min(plan.cards, key=lambda card: card.unused)
        asks = f"vLLM asks for {card.allowed:.2f} GiB"
        there = f"of a card that has {max(0.0, card.total - card.outside):.2f} GiB free"
        if card.allowed > card.total - card.outside:
            return f"does not start: {asks} {there}"
        return (
            f"runs out of memory once it serves: {asks}, and takes {card.beside:.2f} GiB beside that for sampling and "
            f"what else it does not count, {there}"
        )
    if not plan.fits:
        return "does not fit: KV cache would not hold one request of the full length"
    if plan.tight:
        return "fits, but only just: within the planner's own doubt of half a GiB"
    return "fits"


def suggestions_text(found: Sequence[Suggestion]) -> str:
    """The ways out, each with its plan in a line and its commands."""
    if not found:
        return "Nothing smaller in the catalog fits either."
    lines = ["What would fit (each was planned the same way):"]
    for suggestion in found:
        lines.append(
            f"  - {suggestion.what}: {suggestion.plan.kv_tokens:,} tokens of KV cache, "
            f"{suggestion.plan.full_requests:.1f} full requests{', but only just' if suggestion.plan.tight else ''}"
        )
        lines += [f"      {line}" for line in suggestion.lines]
    return "\n".join(lines)


def card_bars(tenants: Sequence[tuple[MemoryPlan, Sequence[Replica]]], card: Card, card_count: int) -> str:
    """For each card of the host, a bar of whoever is on it. ``tenants`` are models with their replicas."""
    lines = []
    for index in range(card_count):
        here = [
            (replica, plan.cards[replica.cards.index(index) * len(plan.cards) // len(replica.cards)])
            for plan, replicas in tenants
            for replica in replicas
            if index in replica.cards
        ]
        who = ", ".join(replica.alias for replica, _ in here) or "free"
        lines.append(f"card {index}  {card.name}, {card.cuda_gib:.1f} GiB: {who}")
        lines += [f"  [{_bar(budget)}]" for _, budget in here]
    lines.append("  █ weights  ▓ one step's peak  ▒ kernels, CUDA graphs  ░ KV cache  · free  # outside vLLM")
    return "\n".join(lines)


def _bar(card: CardBudget) -> str:
    bar = ""
    at = 0.0
    for name, sign in PIECES:
        at += max(0.0, getattr(card, name))
        bar += sign * (round(at / card.total * BAR_WIDTH) - len(bar))
    outside = round(card.outside / card.total * BAR_WIDTH)
    return (bar[: BAR_WIDTH - outside]).ljust(BAR_WIDTH - outside, "·") + "#" * outside


def cpu_table(plan: CpuPlan) -> str:
    """The same for the CPU."""
    limit = f"{plan.limit:9.2f}" if plan.limit else "     none"
    return "\n".join(
        [
            "GiB of host memory",
            f"{'weights':<40}{plan.weights:9.2f}",
            f"{'KV cache':<40}{plan.kv:9.2f}",
            f"{'processes':<40}{plan.processes:9.2f}",
            f"{'needed':<40}{plan.needed:9.2f}",
            f"{'limit of the container':<40}{limit}",
            f"KV cache holds {plan.kv_tokens:,} tokens: {plan.kv_tokens / plan.max_model_len:.2f} requests of "
            f"{plan.max_model_len:,} tokens",
        ]
    )
