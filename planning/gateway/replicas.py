"""Which replicas the gateway sends requests to, as files that change while it runs. Pure text in and out.

`nginx.conf` includes them from a volume; `services/gateway/replicas.sh` puts them there. One slot holds one replica,
for a moment of a rollout two.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# A directory that every image has with mode 1777: a new volume that is mounted over it takes that mode, so that a
# user without privileges may write. Mounted anywhere else the volume would be root's.
STATE_DIR = "/var/tmp"  # noqa: S108 (a volume of the gateway's own)
_NOBODY = "server 127.0.0.1:1 down;  # nobody yet"
_SERVER = re.compile(r"^server ([\w.-]+:\d+) resolve max_fails=1 fail_timeout=2s( down)?;  # slot (\d+)$", re.MULTILINE)
LONGEST_OUTAGE_S = 7200


def replicas_conf(model: str = "") -> str:
    """Name of the file with a model's replicas; where a stack has one model, that has no name."""
    return f"replicas-{model}.conf" if model else "replicas.conf"


def outage_conf(model: str = "") -> str:
    """Name of the file that says how long a model is out."""
    return f"outage-{model}.conf" if model else "outage.conf"


def memory_file(model: str = "") -> str:
    """Name of the file with the figures that a rollout leaves for the next one."""
    return f"rollout-{model}.json" if model else "rollout.json"


def outage_variable(model: str = "") -> str:
    """nginx's variable, without its dollar sign, for the seconds that a model's clients are told to wait."""
    return f"outage_s_{model.replace('-', '_')}" if model else "outage_s"


@dataclass(frozen=True)
class Member:
    """One replica behind the gateway; ``up`` is whether it gets new requests."""

    address: str
    up: bool = True


Slots = Mapping[int, Sequence[Member]]


def server_line(address: str, *, up: bool = True) -> str:
    """A server of an upstream block: out after one failure, tried again after 2 s."""
    return f"server {address} resolve max_fails=1 fail_timeout=2s{'' if up else ' down'};"


def render_replicas(slots: Slots) -> str:
    """The lines of nginx's upstream block."""
    lines = [
        f"{server_line(member.address, up=member.up)}  # slot {slot}"
        for slot, members in sorted(slots.items())
        for member in members
    ]
    return "\n".join([*(lines or [_NOBODY]), ""])


def parse_replicas(text: str) -> dict[int, list[Member]]:
    """What ``render_replicas`` wrote."""
    slots: dict[int, list[Member]] = {}
    for address, down, slot in _SERVER.findall(text):
        slots.setdefault(int(slot), []).append(Member(address, up=not down))
    return slots


def render_outage(until_s: int | None = None, now_s: int = 0, *, otherwise_s: int = 5, model: str = "") -> str:
    """`$outage_s`, or the model's own: what a 503 tells clients to wait, the seconds left until ``until_s``, Unix time.

    nginx cannot subtract, but it looks up a second in a table of thousands as quickly as in one of ten.
    """
    outage = outage_variable(model)
    epoch = outage.replace("outage", "epoch")
    lines = [f"map $msec ${epoch} {{", '    "~^(?<whole_s>[0-9]+)" $whole_s;', "}"]
    lines += [f"map ${epoch} ${outage} {{", f"    default {otherwise_s};"]
    if until_s is not None:
        last_s = min(until_s, now_s + LONGEST_OUTAGE_S)
        lines += [f"    {second} {max(until_s - second, 1)};" for second in range(now_s, last_s)]
    return "\n".join([*lines, "}", ""])


def gateway_state(replicas: Sequence[str], otherwise_s: int, model: str = "") -> dict[str, str]:
    """A model's files as a gateway finds them that was never told anything."""
    slots = {slot: [Member(address)] for slot, address in enumerate(replicas)}
    return {
        replicas_conf(model): render_replicas(slots),
        outage_conf(model): render_outage(otherwise_s=otherwise_s, model=model),
    }


def remembered(text: str) -> dict[str, float]:
    """Figures that a rollout left for the next one; a file that was never written has none."""
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        return {}
    return {str(name): float(value) for name, value in found.items()} if isinstance(found, dict) else {}
