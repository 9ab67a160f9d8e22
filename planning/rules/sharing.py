"""Several models on the cards of one host: where each is put, and where one that has no cards would fit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from planning.hosts.minimum_versions import vllm_version
from planning.memory.cards import Card
from planning.memory.settling import SHARE, Settled, least_gib, room_gib, settle
from planning.memory.sharing import Place, Tenant, flat, place_all, without_cards
from planning.rules.app_models import AREA, PURPOSES
from planning.rules.draft import Draft
from planning.rules.several import default_of
from planning.settings.areas import StackSettings
from planning.settings.config_commands import rm_line, set_value_line
from planning.settings.errors import ConfigError


def on_their_cards(given: StackSettings, drafts: Sequence[Draft]) -> tuple[list[Draft], list[ConfigError]]:
    """Several models with cards and shares filled in, each on its card as the others leave it; one model as it is.

    Where a model has no cards, all are placed as its mending line would, so that other faults show at once.
    """
    with_cards = [draft for draft in drafts if draft.card]
    card = with_cards[0].card if with_cards else None
    if len(drafts) == 1 or card is None:
        return list(drafts), []
    tenants = [_tenant(each) for each in with_cards]
    count = drafts[0].card_count
    reasons = without_cards(tenants, count)
    if not reasons:
        return _placed(drafts, place_all(tenants, card, count)), []
    settled = settle(tenants, list(reasons), card, count)
    places = place_all(settled.tenants, card, count) if settled.tenants else {}
    errors = list(_errors(given, drafts, reasons, settled, places, card))
    return _placed([draft for draft in drafts if draft.name not in settled.left_out], places), errors


def _tenant(draft: Draft) -> Tenant:
    return Tenant(name=draft.name, model=draft.model, vllm=draft.settings.vllm, version=vllm_version(draft.image or ""))


def _placed(drafts: Sequence[Draft], places: dict[str, Place]) -> list[Draft]:
    placed = []
    for draft in drafts:
        if (here := places.get(draft.name)) is None:
            placed.append(draft)
            continue
        settings = draft.settings.model_copy(update={"vllm": here.vllm})
        placed.append(replace(draft, settings=settings, card=here.card, neighbours=here.neighbours))
    return placed


def _errors(
    given: StackSettings,
    drafts: Sequence[Draft],
    reasons: dict[str, str],
    settled: Settled,
    places: dict[str, Place],
    card: Card,
) -> Iterator[ConfigError]:
    """An error for each model without cards. The first one's line makes room, too."""
    others = [draft for draft in drafts if draft.card and draft.name not in reasons]
    making_room = [line for draft in others for line in _changes(draft, settled)]
    for draft in (each for each in drafts if each.name in reasons):
        said = draft.settings.vllm.placement
        if draft.name in settled.left_out:
            reason = f"{reasons[draft.name]}. {_no_room(draft, settled, card)}; without it the others are served"
            lines = _taken_out(given, drafts, draft, settled)
        else:
            reason = f"{reasons[draft.name]}. {_where(draft.name, places)}"
            lines = _changes(draft, settled)
        mend = " && ".join([*making_room, *lines])
        making_room = []
        yield draft.said_here(ConfigError("vllm.placement", reason, mend, str(said) if said else None))


def _changes(draft: Draft, settled: Settled) -> list[str]:
    """The commands after which a model is served as settled."""
    before, after = draft.settings.vllm, settled.vllm(draft.name)
    if after is None:
        return []
    lines = []
    if SHARE in before.model_fields_set and SHARE not in after.model_fields_set:
        lines.append(draft.rm_line(f"vllm.{SHARE}"))
    if before.replicas != after.replicas:
        lines.append(draft.set_line("vllm.replicas", after.replicas))
    if before.placement != after.placement:
        if before.placement:
            lines.append(draft.rm_line("vllm.placement"))
        for replica, cards in enumerate(after.placement):
            lines += [draft.set_line(f"vllm.placement.{replica}.{at}", index) for at, index in enumerate(cards)]
    return lines


def _where(name: str, places: dict[str, Place]) -> str:
    """Where it fits, and what it and its neighbours then have of a card."""
    here = places[name]
    cards = ", ".join(map(str, flat(here.vllm.placement)))
    on = f"It fits on card {cards}"
    if not here.neighbours:
        return on
    shares = ", ".join(f"{each} {places[each].vllm.gpu_memory_utilization:.2f}" for each in (*here.neighbours, name))
    return f"{on} beside {' and '.join(here.neighbours)}, with these shares of its memory: {shares}"


def _no_room(draft: Draft, settled: Settled, card: Card) -> str:
    """What it would need, and the most that there is."""
    tenant = _tenant(draft)
    room = {index: room_gib(settled.tenants, card, index) for index in range(draft.card_count)}
    most = max(room, key=lambda index: room[index])
    each = draft.settings.vllm.cards_per_replica
    return (
        f"It fits on no card beside the others: it needs {least_gib(tenant, card):.1f} GiB "
        f"{'of each of ' + str(each) + ' cards' if each > 1 else 'of one'}, and card {most}, which has most left, has "
        f"{max(0.0, room[most]):.1f} when they have the least that they need"
    )


def _taken_out(given: StackSettings, drafts: Sequence[Draft], draft: Draft, settled: Settled) -> list[str]:
    """The commands that take a model out of the file, and every mention of it."""
    stack, rest = draft.stack, [each for each in drafts if each.name not in settled.left_out]
    lines = [rm_line(["models", draft.name], stack)]
    default = default_of(given.model_copy(update={"default_model": None}), rest)
    if given.default_model == draft.name:
        name = default.name if default else rest[0].name if rest else ""
        lines.append(set_value_line(["default_model"], name, stack))
    for client, limits in given.gateway.clients.items():
        if draft.name in limits.models:
            path = ["gateway", "clients", client, "models", str(limits.models.index(draft.name))]
            instead = default.name if default and len(limits.models) == 1 else None  # an empty list opens every model
            lines.append(set_value_line(path, instead, stack) if instead else rm_line(path, stack))
        if draft.name in limits.model_requests_per_minute:
            path = ["gateway", "clients", client, "model_requests_per_minute", draft.name]
            lines.append(rm_line(path, stack))
    said = given.pageindex.models
    lines += [rm_line([*AREA, purpose], stack) for purpose in PURPOSES if getattr(said, purpose) == draft.name]
    return lines
