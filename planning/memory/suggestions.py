"""What would fit: every way out is planned like the stack itself, and offered only if its plan fits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import floor
from typing import Any

from planning.hosts.minimum_versions import Version
from planning.memory.budget import MemoryPlan, plan_memory
from planning.memory.cards import Card
from planning.memory.placement import uneven
from planning.models.catalog import catalog
from planning.settings.model import InlineModel
from planning.settings.vllm import VllmSettings

CONTEXT_STEP = 1024  # a shorter context is rounded down to this
LEAST_CONTEXT = 2048  # with less, no question about a document has room
MOST_MODELS = 3
MOST_UTILIZATION = 0.95  # more leaves nothing for what a driver or a desktop takes now and then


@dataclass(frozen=True, kw_only=True)
class Suggestion:
    """A change that makes the stack fit, the commands that make it, and the plan it leads to."""

    what: str
    lines: tuple[str, ...]
    plan: MemoryPlan


@dataclass(frozen=True, kw_only=True)
class Situation:
    """What does not fit."""

    set_line: Callable[[str, Any], str]
    """The command that sets a path of a stack file with one model."""
    model: InlineModel
    vllm: VllmSettings
    card: Card
    card_count: int
    version: Version | None

    def suggestion(self, what: str, model: InlineModel | None = None, **changes: Any) -> Suggestion | None:
        """The plan with ``changes`` to vllm, if it fits."""
        vllm = self.vllm.model_copy(update=changes)
        plan = plan_memory(model or self.model, vllm, self.card, self.version)
        if not plan.fits:
            return None
        lines = tuple(self.set_line(f"vllm.{name}", value) for name, value in changes.items())
        return Suggestion(what=what, lines=lines, plan=plan)


def suggestions(situation: Situation) -> list[Suggestion]:
    """Everything that would fit, the smallest change first."""
    found: list[Suggestion] = []
    for way in (_utilization, _fp8_kv, _context, _fewer_sequences, _other_cards, _fp8_kv_and_context, _models):
        if way is _fp8_kv_and_context and found:
            continue  # two changes, only where no single one is enough
        found += way(situation)
    return found


def _utilization(now: Situation) -> Iterator[Suggestion]:
    """As much as is free and wise, where too much or too little is asked for."""
    plan = plan_memory(now.model, now.vllm, now.card, now.version)
    card = plan.cards[0]
    most = min(MOST_UTILIZATION, floor((card.total - card.outside - card.beside) / card.total * 100) / 100)
    if most <= 0.05 or most == now.vllm.gpu_memory_utilization:
        return
    suggestion = now.suggestion(f"use {most:.2f} of each card", gpu_memory_utilization=most)
    if suggestion:
        yield suggestion


def _fp8_kv(now: Situation) -> Iterator[Suggestion]:
    if now.vllm.kv_cache_dtype in {"auto", "bfloat16", "float16"} and now.card.fp8_kv:
        suggestion = now.suggestion("keep KV cache in fp8", kv_cache_dtype="fp8")
        if suggestion:
            yield suggestion


def _context(now: Situation) -> Iterator[Suggestion]:
    suggestion = _longest_context(now, "shorten the context")
    if suggestion:
        yield suggestion


def _fp8_kv_and_context(now: Situation) -> Iterator[Suggestion]:
    if now.vllm.kv_cache_dtype in {"auto", "bfloat16", "float16"} and now.card.fp8_kv:
        suggestion = _longest_context(now, "keep KV cache in fp8 and shorten the context", kv_cache_dtype="fp8")
        if suggestion:
            yield suggestion


def _longest_context(now: Situation, what: str, **changes: Any) -> Suggestion | None:
    plan = plan_memory(now.model, now.vllm.model_copy(update=changes), now.card, now.version)
    tokens = floor(min(plan.kv_tokens, now.vllm.max_model_len) / CONTEXT_STEP) * CONTEXT_STEP
    if tokens < LEAST_CONTEXT or tokens == now.vllm.max_model_len:
        return None
    return now.suggestion(f"{what} to {tokens} tokens", **changes, max_model_len=tokens)


def _fewer_sequences(now: Situation) -> Iterator[Suggestion]:
    """Sampling many sequences at once takes memory of its own."""
    for sequences in (64, 16):
        if sequences < now.vllm.max_num_seqs:
            suggestion = now.suggestion(f"batch {sequences} sequences at most", max_num_seqs=sequences)
            if suggestion:
                yield suggestion
                return


def _other_cards(now: Situation) -> Iterator[Suggestion]:
    """More cards a replica, with as many replicas as the cards then allow."""
    shape = now.model.architecture
    stages = now.vllm.pipeline_parallel_size
    for tensor in (2, 4, 8):
        replicas = min(now.vllm.replicas, now.card_count // (tensor * stages))
        if tensor <= now.vllm.tensor_parallel_size or not replicas or not shape or uneven(now.model, tensor):
            continue
        changes: dict[str, Any] = {"tensor_parallel_size": tensor}
        if replicas != now.vllm.replicas:
            changes["replicas"] = replicas
        suggestion = None if now.vllm.placement else now.suggestion(f"split each layer over {tensor} cards", **changes)
        if suggestion:
            yield suggestion
            return


def _models(now: Situation) -> Iterator[Suggestion]:
    """Models of the catalog that fit as they are, the largest first."""
    known = sorted(
        ((name, model) for name, model in catalog().items() if model.architecture),
        key=lambda entry: -entry[1].architecture.parameters if entry[1].architecture else 0,
    )
    count = 0
    for name, model in known:
        if (
            model.repo == now.model.repo
            or not model.pinned  # would need a decision about its revision too
            or (now.model.multimodal and not model.multimodal)
            or model.task != now.model.task
            or model.context_limit < now.vllm.max_model_len
            or (now.model.tool_call_parser and not model.tool_call_parser)
            or uneven(model, now.vllm.tensor_parallel_size)
        ):
            continue
        suggestion = now.suggestion(f"serve {name}", model)
        if suggestion:
            yield Suggestion(what=suggestion.what, lines=(now.set_line("model", name),), plan=suggestion.plan)
            count += 1
            if count == MOST_MODELS:
                return
