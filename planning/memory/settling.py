"""Models for which the stack file leaves no cards: where they fit, computed, beside whom, and at which price.

Every way is planned like the stack itself before it is offered. The first that fits is taken: cards shared as they are;
shares of a card that the file says given up; fewer replicas; the model left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, islice

from planning.memory.budget import plan_memory
from planning.memory.cards import Card
from planning.memory.sharing import MOST_OF_A_CARD, Tenant, beside_gib, cards_of_each, flat, needed_gib, place_all
from planning.settings.vllm import VllmSettings

SHARE = "gpu_memory_utilization"
MOST_TRIED = 200  # sets of cards; those with most room come first


@dataclass(frozen=True, kw_only=True)
class Settled:
    """A set of models of which each has cards and fits."""

    tenants: tuple[Tenant, ...]
    left_out: tuple[str, ...] = ()

    def vllm(self, name: str) -> VllmSettings | None:
        """How a model is served then; None if it is left out."""
        return next((each.vllm for each in self.tenants if each.name == name), None)


def settle(tenants: Sequence[Tenant], homeless: Sequence[str], card: Card, card_count: int) -> Settled:
    """Cards for the ``homeless``, the largest first; who fits nowhere is left out."""
    by_need = sorted((each for each in tenants if each.name in homeless), key=lambda each: -needed_gib(each, card))
    settled = [each for each in tenants if each.name not in homeless]
    cards = cards_of_each(tenants, card_count)
    settled = [replace(each, vllm=_with(each.vllm, placement=cards[each.name])) for each in settled]
    left_out = []
    for tenant in by_need:
        found = next(_ways(tenant, settled, card, card_count), None)
        if found is None:
            left_out.append(tenant.name)
        else:
            settled = found
    ordered = [each for name in (each.name for each in tenants) for each in settled if each.name == name]
    return Settled(tenants=_without_needless_cards(ordered, tenants, card_count), left_out=tuple(left_out))


def room_gib(tenants: Sequence[Tenant], card: Card, index: int) -> float:
    """What is left of a card after all that the models on it need at least, and beside its own."""
    here = [each for each in tenants if index in flat(each.vllm.placement)]
    return card.cuda_gib * MOST_OF_A_CARD - card.reserved_gib - sum(least_gib(each, card) for each in here)


def least_gib(tenant: Tenant, card: Card) -> float:
    """The least that a model takes of each of its cards."""
    return needed_gib(tenant, card) + beside_gib(tenant, card)


def _ways(tenant: Tenant, others: list[Tenant], card: Card, card_count: int) -> Iterator[list[Tenant]]:
    for replicas in range(tenant.vllm.replicas, 0, -1):
        several = _with(tenant.vllm, replicas=replicas) if replicas != tenant.vllm.replicas else tenant.vllm
        each = several.cards_per_replica
        roomiest = sorted(range(card_count), key=lambda index: -room_gib(others, card, index))
        for gives_up in (False, True):
            for chosen in islice(combinations(roomiest, each * replicas), MOST_TRIED):
                some = sorted(chosen)
                placement = [list(some[at : at + each]) for at in range(0, len(some), each)]
                here = replace(tenant, vllm=_with(several, placement=placement))
                beside = [_sharing(other, some) if gives_up else other for other in others]
                together = [*beside, _sharing(here, some) if gives_up else here]
                if _fit(together, some, card, card_count):
                    yield together


def _sharing(tenant: Tenant, cards: Sequence[int]) -> Tenant:
    """Without a share of its own, if it is on one of ``cards``: then it gets one that fits."""
    if SHARE not in tenant.vllm.model_fields_set or not set(cards) & set(flat(tenant.vllm.placement)):
        return tenant
    return replace(tenant, vllm=_without_share(tenant.vllm))


def _fit(tenants: Sequence[Tenant], cards: Sequence[int], card: Card, card_count: int) -> bool:
    """Whether everyone on ``cards`` fits."""
    places = place_all(tenants, card, card_count)
    for tenant in tenants:
        if tenant.model is None or tenant.model.architecture is None:
            continue
        if set(cards) & set(flat(tenant.vllm.placement)):
            here = places[tenant.name]
            if not plan_memory(tenant.model, here.vllm, here.card, tenant.version).fits:
                return False
    return True


def _without_needless_cards(settled: list[Tenant], before: Sequence[Tenant], card_count: int) -> tuple[Tenant, ...]:
    """Who had no placement in the file and gets the same cards without one, needs none."""
    said = {each.name: bool(each.vllm.placement) for each in before}
    cards = {each.name: each.vllm.placement for each in settled}
    for at, tenant in enumerate(settled):
        if not said[tenant.name]:
            bare = replace(tenant, vllm=_with(tenant.vllm, placement=[]))
            fewer = [*settled[:at], bare, *settled[at + 1 :]]
            if cards_of_each(fewer, card_count) == cards:
                settled = fewer
    return tuple(settled)


def _with(vllm: VllmSettings, **changes: object) -> VllmSettings:
    return vllm.model_copy(update=changes)


def _without_share(vllm: VllmSettings) -> VllmSettings:
    return VllmSettings.model_validate({name: getattr(vllm, name) for name in vllm.model_fields_set - {SHARE}})
