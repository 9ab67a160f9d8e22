"""Several models on the cards of one host: which cards each gets, and which share of a card that it has not alone.

vLLM is told a share of a card's whole memory, and refuses to start where less than that is free. So the shares of a
card add up to what is there, and the models on it start one after the other: one that measures itself while another
loads would take the other's memory for its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import floor

from planning.hosts.minimum_versions import Version
from planning.memory.budget import CONTEXT_GIB, plan_memory
from planning.memory.cards import Card
from planning.memory.model_sizes import GIB
from planning.memory.placement import BadPlacement, place
from planning.settings.model import InlineModel
from planning.settings.vllm import VllmSettings

MOST_OF_A_CARD = 0.95  # all shares together: more leaves nothing for what a driver or a desktop takes now and then


@dataclass(frozen=True, kw_only=True)
class Tenant:
    """One model, and how the stack file says it is served."""

    name: str
    model: InlineModel | None
    vllm: VllmSettings
    version: Version | None


@dataclass(frozen=True, kw_only=True)
class Place:
    """What a model gets: its settings with cards and share filled in, and the card as its neighbours leave it."""

    vllm: VllmSettings
    card: Card
    neighbours: tuple[str, ...]
    """Who shares a card with it, those before it first."""


def place_all(tenants: Sequence[Tenant], card: Card, card_count: int) -> dict[str, Place]:
    """Each model's place, where nobody is without cards; whether it fits is planned afterwards."""
    cards = cards_of_each(tenants, card_count)
    on = {index: [each for each in tenants if index in flat(cards[each.name])] for index in range(card_count)}
    shares = {each.name: _share(each, [on[index] for index in flat(cards[each.name])], card) for each in tenants}
    placed = {}
    for tenant in tenants:
        beside = {other.name for index in flat(cards[tenant.name]) for other in on[index]} - {tenant.name}
        fullest = max(
            (sum(_taken(other, shares[other.name], card) for other in on[index] if other.name != tenant.name))
            for index in flat(cards[tenant.name])
        )
        filled = {"placement": cards[tenant.name], "gpu_memory_utilization": shares[tenant.name]}
        placed[tenant.name] = Place(
            vllm=tenant.vllm.model_copy(update=filled),
            card=replace(card, reserved_gib=card.reserved_gib + fullest),
            neighbours=tuple(each.name for each in tenants if each.name in beside),
        )
    return placed


def cards_of_each(tenants: Sequence[Tenant], card_count: int) -> dict[str, list[list[int]]]:
    """As the stack file says; who has no placement gets cards that nobody is on, and is missing if there are none."""
    said = [each for each in tenants if each.vllm.placement and not _misplaced(each, card_count)]
    cards = {each.name: each.vllm.placement for each in said}
    taken = {index for placement in cards.values() for index in flat(placement)}
    free = [index for index in range(card_count) if index not in taken]
    for tenant in tenants:
        needed = tenant.vllm.cards_per_replica * tenant.vllm.replicas
        if tenant.vllm.placement or needed > len(free):
            continue
        cards[tenant.name] = [[free[at] for at in replica.cards] for replica in place(tenant.vllm, card_count)]
        free = free[needed:]
    return cards


def without_cards(tenants: Sequence[Tenant], card_count: int) -> dict[str, str]:
    """Whose cards can't be had, and why."""
    cards = cards_of_each(tenants, card_count)
    free = card_count - len({index for placement in cards.values() for index in flat(placement)})
    left = f"{free or 'none'} of them {'is' if free < 2 else 'are'} nobody's"
    return {
        each.name: _misplaced(each, card_count)
        or f"needs {each.vllm.cards_per_replica * each.vllm.replicas} of the {card_count} cards, and {left}"
        for each in tenants
        if each.name not in cards
    }


def _misplaced(tenant: Tenant, card_count: int) -> str:
    """Why the placement that the stack file says can't be; empty if it can."""
    try:
        place(tenant.vllm, card_count)
    except BadPlacement as error:
        return str(error)
    return ""


def _share(tenant: Tenant, cards: Sequence[Sequence[Tenant]], card: Card) -> float:
    """The share that fits on each of its cards. What the file says holds; alone on a card so does its default."""
    if "gpu_memory_utilization" in tenant.vllm.model_fields_set or all(len(on) == 1 for on in cards):
        return tenant.vllm.gpu_memory_utilization
    return min(_share_among(tenant, on, card) for on in cards)


def _share_among(tenant: Tenant, on: Sequence[Tenant], card: Card) -> float:
    """What it needs, and of the rest as large a part as it needs of all: larger models want more for their cache."""
    said = [each for each in on if "gpu_memory_utilization" in each.vllm.model_fields_set]
    need = {each.name: needed_gib(each, card) for each in on if each not in said}
    there = card.cuda_gib * MOST_OF_A_CARD - card.reserved_gib - sum(beside_gib(each, card) for each in on)
    left = there - sum(card.cuda_gib * each.vllm.gpu_memory_utilization for each in said) - sum(need.values())
    wanted = need[tenant.name] * (1 + max(0.0, left) / sum(need.values()))
    return max(0.06, min(0.98, floor(wanted / card.cuda_gib * 100) / 100 if left > 0 else _up(wanted / card.cuda_gib)))


def needed_gib(tenant: Tenant, card: Card) -> float:
    """The least that it starts with on one card: all but the cache, and a cache for one request of full length."""
    if tenant.model is None or tenant.model.architecture is None:
        return card.cuda_gib * tenant.vllm.gpu_memory_utilization
    plan = plan_memory(tenant.model, tenant.vllm, card, tenant.version)
    return max(each.needed + each.kv_bytes_per_token * (plan.max_model_len + 16) / GIB for each in plan.cards)


def _taken(tenant: Tenant, share: float, card: Card) -> float:
    return share * card.cuda_gib + beside_gib(tenant, card)


def beside_gib(tenant: Tenant, card: Card) -> float:
    """What it takes of a card on top of its share."""
    if tenant.model is None or tenant.model.architecture is None:
        return CONTEXT_GIB
    plan = plan_memory(tenant.model, tenant.vllm, card, tenant.version)
    return CONTEXT_GIB + max(each.beside for each in plan.cards)


def _up(share: float) -> float:
    return -floor(-share * 100) / 100


def flat(placement: Sequence[Sequence[int]]) -> list[int]:
    return [index for cards in placement for index in cards]
