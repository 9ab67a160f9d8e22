"""What a replica and its cards are judged by: one row for each thing that was planned."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from checks.cards import MEMORY_TOLERANCE, UNIFIED_TOLERANCE, image_cuda, needed_driver
from checks.host_facts import HostFacts, SeenCard, read_cards

MAX_TEMPERATURE_C = 85.0
POWER_TOLERANCE = 0.05  # the draw is an average over a moment in which the limit is kept
KV_TOLERANCE = 0.10
CPU_BACKEND = "gloo"  # what torch.distributed takes for processes without a card
IN_USE = 0.3  # a card this full has somebody on it, even where the driver lists no processes

NCCL_TROUBLE = re.compile(r"NCCL (?:WARN|error)|nccl(?:SystemError|UnhandledCudaError|InternalError)")
WORLD = re.compile(r"world_size=(\d+) rank=\d+ .*backend=(\w+)")
RANKS = re.compile(r"rank \d+ in world size (\d+)")
NCCL_VERSION = re.compile(r"using nccl==([\d.]+)")
KV_TOKENS = re.compile(r"(\w+) KV cache size: ([\d,]+) tokens")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table. ``verdict`` is ok, note or FAULT; only the last fails the check."""

    replica: str
    what: str
    expected: str
    got: str
    card: int | None = None
    verdict: str = "ok"
    do: str = ""


@dataclass(frozen=True, kw_only=True)
class ReplicaFacts:
    """What a replica's container sees and says."""

    container_id: str
    cards: tuple[SeenCard, ...]
    cards_error: str
    cuda: str
    log: str


def read_replica(text: str) -> ReplicaFacts:
    """The script's sections as values."""
    parts = re.split(r"^@@(\w+)\n", text, flags=re.MULTILINE)
    sections = {name: body.strip("\n") for name, body in zip(parts[1::2], parts[2::2], strict=True)}
    cards, error = read_cards(sections.get("cards", ""))
    return ReplicaFacts(
        container_id=sections.get("container", "").split("|")[0],
        cards=cards,
        cards_error=error,
        cuda=sections.get("cuda", "").partition("=")[2].strip(),
        log=sections.get("log", ""),
    )


def short_name(replica: Mapping[str, Any]) -> str:
    return re.sub(r"^.*(vllm-\d+)(?:-[0-9a-f]+)?$", r"\1", replica["container"])


def where(row: Row) -> str:
    return row.replica if row.card is None else f"{row.replica}, card {row.card}"


def judge(replica: Mapping[str, Any], facts: Mapping[str, Any], seen: ReplicaFacts, host: HostFacts) -> Iterator[Row]:
    """The rows of one replica."""
    name, container = short_name(replica), replica["container"]
    at = {card.index: card for card in host.cards}
    wanted = [at[index] for index in replica["cards"] if index in at]
    expected = ", ".join(f"{card.index} ({card.uuid[:12]})" for card in wanted)
    there = {card.uuid for card in seen.cards}
    by_uuid = {card.uuid: card.index for card in host.cards}
    got = ", ".join(f"{by_uuid.get(card.uuid, '?')} ({card.uuid[:12]})" for card in seen.cards) or seen.cards_error
    exact = there == {card.uuid for card in wanted} and len(wanted) == len(replica["cards"])
    yield Row(
        replica=name,
        what="cards",
        expected=expected or f"cards {replica['cards']}",
        got=got or "none",
        verdict="ok" if exact else "FAULT",
        do=f"docker exec {container} nvidia-smi -L; then pulumi up --refresh to make {container} anew",
    )
    for card in wanted:
        yield from _card_rows(name, card, facts, seen, host)
    yield from _parallel_rows(name, replica, seen, host, wanted)
    yield from _kv_rows(name, replica, seen)


def _card_rows(
    name: str, card: SeenCard, facts: Mapping[str, Any], seen: ReplicaFacts, host: HostFacts
) -> Iterator[Row]:
    plan = facts["cards"]
    # As the replica itself sees it, where it does: the host's view of the same card is the fallback.
    inside = next((other for other in seen.cards if other.uuid == card.uuid), card)

    def row(what: str, expected: str, got: str, good: bool | None, do: str = "") -> Row:
        verdict = "note" if good is None else "ok" if good else "FAULT"
        return Row(replica=name, card=card.index, what=what, expected=expected, got=got, verdict=verdict, do=do)

    look = "pulumi preview after setting host.gpus to what is there"
    yield row("name", plan["name"], inside.name, inside.name == plan["name"], look)
    unified = inside.total_mib is None and plan["unified"]
    total = host.memory_mib.get("MemTotal") if unified else inside.total_mib
    tolerance = UNIFIED_TOLERANCE if unified else MEMORY_TOLERANCE
    yield row(
        "memory",
        f"{plan['memory_mib']} MiB",
        "not reported" if total is None else f"{total:.0f} MiB{' shared with the system' if unified else ''}",
        total is not None and total >= plan["memory_mib"] * (1 - tolerance),
        look,
    )
    capability = plan.get("compute_capability")
    if capability:
        reported = inside.capability
        good = None if reported is None else abs(reported - capability) < 0.01
        yield row("compute capability", str(capability), str(reported or "not reported"), good, look)
    needed = needed_driver(facts["vllm_image"], card.capability)
    version = int(inside.driver.split(".")[0])
    yield row(
        "driver",
        f"≥ {needed[0]}" if needed else "any",
        inside.driver,
        True if needed is None or version >= needed[0] else None,  # it runs: by compatibility libraries
    )
    cuda = image_cuda(facts["vllm_image"])
    if cuda and seen.cuda:
        good = seen.cuda.split(".")[0] == str(cuda)
        yield row("CUDA", f"{cuda}.x", seen.cuda, good or None)
    heat = card.temperature_c
    yield row(
        "temperature",
        f"< {MAX_TEMPERATURE_C:.0f} °C",
        "not reported" if heat is None else f"{heat:.0f} °C",
        None if heat is None else heat < MAX_TEMPERATURE_C,
        "better cooling, or a lower power limit: nvidia-smi -pl WATTS on the host",
    )
    limit_w, draw_w = card.power_limit_w, card.power_w
    yield row(
        "power",
        "any: the card has no limit" if limit_w is None else f"≤ {limit_w:.0f} W",
        "not reported" if draw_w is None else f"{draw_w:.0f} W",
        True if limit_w is None or draw_w is None else draw_w <= limit_w * (1 + POWER_TOLERANCE),
        "nvidia-smi -q -d POWER on the host: a supply or a sensor is broken",
    )
    others = [each for each in host.processes if each.uuid == card.uuid and each.container != seen.container_id]
    listed = ", ".join(f"{other.name} (pid {other.pid})" for other in others)
    yield row(
        "others on it",
        "nobody" if not facts.get("shared_cards") else "as planned",
        listed or "nobody",
        True if not others else None if facts.get("shared_cards") else False,
        "end them; or plan with what they take: pulumi config set --type float --path host.gpus.reserved_gib GIB",
    )


def _parallel_rows(
    name: str, replica: Mapping[str, Any], seen: ReplicaFacts, host: HostFacts, wanted: Sequence[SeenCard]
) -> Iterator[Row]:
    """A process of this container on every card; and where there are several, what vLLM and NCCL say of each other.

    The replica is healthy, so it has generated a token, and with tensor parallelism no token comes without a reduction
    over all cards in every layer. With a process on each card that is what NCCL's working looks like from outside.
    """
    cards = {process.uuid for process in host.processes if process.container == seen.container_id}
    idle = [card.index for card in wanted if card.uuid not in cards]
    hidden = not host.processes and all((card.used_mib or 0) > IN_USE * (card.total_mib or 1) for card in wanted)
    computes = "not listed by this driver; the cards are in use" if hidden else f"not on {idle}" if idle else "all"
    yield Row(
        replica=name,
        what="computes on",
        expected="all its cards",
        got=computes,
        verdict="note" if idle and hidden else "FAULT" if idle else "ok",
        do="look in the log for the device that vLLM chose",
    )
    size = len(replica["cards"])
    if size < 2:
        return
    trouble = [line for line in seen.log.splitlines() if NCCL_TROUBLE.search(line)]
    backends = {backend for _, backend in WORLD.findall(seen.log)}
    worlds = {int(found) for found, _ in WORLD.findall(seen.log)} | {int(found) for found in RANKS.findall(seen.log)}
    version = NCCL_VERSION.search(seen.log)
    got = [f"world size {'/'.join(map(str, sorted(worlds)))}" if worlds else "", *sorted(backends)]
    got += [version[1] if version else "", trouble[-1][-200:] if trouble else ""]
    if backends == {CPU_BACKEND} or not worlds:
        verdict = "note"  # nothing about NCCL in it; that the cards are computed on is the row above
    else:
        verdict = "FAULT" if worlds != {size} or backends - {"nccl"} else "note" if trouble else "ok"
    yield Row(
        replica=name,
        what="NCCL",
        expected=f"world size {size}, nccl, no errors",
        got=" ".join(filter(None, got)) or "nothing about it in the log",
        verdict=verdict,
        do="pulumi config set --path vllm.nccl.debug INFO && pulumi up, and read the log; where cards can't reach each "
        "other directly: pulumi config set --path vllm.nccl.p2p false",
    )
    refused = re.search(r"[Cc]ustom (?:allreduce|collectives)[^\n]*disabled[^\n]*", seen.log)
    if refused:
        yield Row(
            replica=name,
            what="custom all-reduce",
            expected="used, where cards reach each other",
            got=refused[0][:120],
            verdict="note",
        )


def _kv_rows(name: str, replica: Mapping[str, Any], seen: ReplicaFacts) -> Iterator[Row]:
    planned = replica.get("kv_tokens")
    if not planned:
        return
    found = KV_TOKENS.findall(seen.log)
    on_card = [int(tokens.replace(",", "")) for pool, tokens in found if pool != "CPU"]
    share = on_card[-1] / planned - 1 if on_card else 0.0
    if on_card:
        got = f"{on_card[-1]:,} ({share:+.1%})"
    else:
        got = f"a cache on the CPU: {found[-1][1]}" if found else "not in the log"
    enough = share >= -KV_TOLERANCE
    yield Row(
        replica=name,
        what="KV tokens",
        expected=f"{planned:,} ± {KV_TOLERANCE:.0%}",
        got=got,
        verdict="FAULT" if not enough else "ok" if on_card and share <= KV_TOLERANCE else "note",
        do="somebody else took memory while vLLM started, or the plan is wrong: compare `python -m planning` with the "
        "lines about memory in the log",
    )
