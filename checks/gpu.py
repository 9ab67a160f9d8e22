"""Do the replicas run on the cards they were given, as planned? Asked of the finished stack; the answer is a table."""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from checks.gpu_rows import Row, judge, read_replica, short_name, where
from checks.host_facts import FIELDS, ask_host
from host_access.commands import Commands, commands_on
from host_access.docker_host import DockerHost
from host_access.outcome import CheckFailed, Fault, SeveralFailed

SCRIPT = Path(__file__).with_name("gpu_facts.sh")
TIMEOUT_S = 60.0
LOOK_AGAIN_S = (1.0, 3.0)


def gpu(facts: dict[str, Any]) -> dict[str, Any]:
    """Each replica on exactly its cards, with the memory, driver and KV cache of the plan, and nobody else there."""
    started = time.monotonic()
    commands = commands_on(facts.get("docker_host"))
    # A fault is what stays: somebody's nvidia-smi is on a card for a moment, and a fan takes some to turn faster.
    for pause_s in (*LOOK_AGAIN_S, None):
        rows = _look(commands, facts)
        bad = [row for row in rows if row.verdict == "FAULT"]
        if not bad or pause_s is None:
            break
        time.sleep(pause_s)
    table = as_table(rows)
    if bad:
        blame = next(replica["container"] for replica in facts["replicas"] if short_name(replica) == bad[0].replica)
        raise SeveralFailed(
            [Fault(f"{where(row)}: {row.what} {row.expected}", row.got, row.do) for row in bad],
            findings=table,
            container=blame,
            log=DockerHost(facts.get("docker_host")).last_log_lines(blame),
        )
    warnings = [f"{where(row)}: {row.what}: {row.got}" for row in rows if row.verdict == "note"]
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    return {
        "check": "gpu",
        "ok": True,
        "table": table,
        "rows": [{key: value for key, value in asdict(row).items() if key != "do"} for row in rows],
        "warnings": warnings,
        "seconds": round(time.monotonic() - started, 2),
    }


def _look(commands: Commands, facts: Mapping[str, Any]) -> list[Row]:
    host = ask_host(commands, prefix=facts["prefix"])
    if not host.cards:
        raise CheckFailed(expected="nvidia-smi on the host", got=host.cards_error, do="nvidia-smi, on the host")
    rows: list[Row] = []
    for replica in facts["replicas"]:
        seen = read_replica(_ask_replica(commands, replica["container"]))
        rows += judge(replica, facts, seen, host)
    return rows


def _ask_replica(commands: Commands, container: str) -> str:
    given = f"CONTAINER={shlex.quote(container)}\nFIELDS={','.join(FIELDS)}\n"
    script = given + SCRIPT.read_text(encoding="utf-8")
    try:
        return commands.run(["sh", "-s"], text=script, timeout_s=TIMEOUT_S).stdout
    except subprocess.TimeoutExpired:
        raise CheckFailed(
            expected=f"an answer from inside {container} within {TIMEOUT_S:.0f} s",
            got="none",
            do=f"docker exec {container} nvidia-smi",
        ) from None


def as_table(rows: Sequence[Row]) -> str:
    """The rows for a reader; faults stand out."""
    head = ("replica", "card", "what", "expected", "got", "")
    lines = [
        (row.replica, "" if row.card is None else str(row.card), row.what, row.expected, row.got, row.verdict)
        for row in rows
    ]
    widths = [max(len(line[column]) for line in [head, *lines]) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in [head, *lines]
    )
