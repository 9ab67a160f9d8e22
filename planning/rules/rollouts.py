"""How replicas are replaced: what fits the number of replicas and the room on their cards. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from planning.memory.budget import CONTEXT_GIB
from planning.memory.cards import Card
from planning.rules.draft import Draft
from planning.rules.modes import RolloutMode
from planning.settings.errors import ConfigError
from planning.settings.vllm import VllmSettings


def rollout_mode(vllm: VllmSettings, card: Card | None) -> RolloutMode:
    """What `rollout` says, or for `auto` the way that costs the users least."""
    if vllm.rollout != "auto":
        return vllm.rollout
    if vllm.replicas > 1:
        return "rolling"
    return "blue-green" if has_room_for_two(vllm, card) else "recreate"


def has_room_for_two(vllm: VllmSettings, card: Card | None) -> bool:
    """Whether each card holds two copies at once; of the CPU's memory nothing is known."""
    if vllm.device != "cuda" or card is None:
        return False
    return 2 * needed_gib(vllm, card) <= card.cuda_gib - card.reserved_gib


def needed_gib(vllm: VllmSettings, card: Card) -> float:
    """What one copy takes of a card."""
    return card.cuda_gib * vllm.gpu_memory_utilization + CONTEXT_GIB


def rollout_errors(draft: Draft) -> Iterator[ConfigError]:
    """Ways that do not go with the number of replicas or the room on their cards."""
    vllm, card = draft.settings.vllm, draft.card
    if vllm.rollout == "rolling" and vllm.replicas == 1:
        reason = "rolling needs a second replica, which serves while the first is replaced"
        yield ConfigError("vllm.rollout", reason, draft.set_line("vllm.rollout", "auto"), "rolling")
    if vllm.rollout == "blue-green" and vllm.device == "cuda" and card and not has_room_for_two(vllm, card):
        reason = (
            f"two copies side by side need {2 * needed_gib(vllm, card):.1f} GiB of a card that has "
            f"{card.cuda_gib - card.reserved_gib:.1f}; a vllm.gpu_memory_utilization below 0.48 could make room"
        )
        yield ConfigError("vllm.rollout", reason, draft.set_line("vllm.rollout", "auto"), "blue-green")
