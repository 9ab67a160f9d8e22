"""What a GPU host is and has, asked in one round trip and read into values."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from host_access.commands import Commands
from host_access.listening import listening
from host_access.outcome import CheckFailed

SCRIPT = Path(__file__).with_name("host_facts.sh")
TIMEOUT_S = 60.0
FIELDS = (
    "index", "uuid", "name", "memory.total", "memory.free", "memory.used", "compute_cap", "driver_version",
    "temperature.gpu", "power.draw", "power.limit",
)  # fmt: skip
PROCESS = re.compile(r"GPU-[^,]+, \d+, ")
CONTAINER_ID = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class SeenCard:
    """One row of nvidia-smi. None is what the driver does not report, as the memory of a GB10."""

    index: int
    uuid: str
    name: str
    total_mib: float | None
    free_mib: float | None
    used_mib: float | None
    capability: float | None
    driver: str
    temperature_c: float | None
    power_w: float | None
    power_limit_w: float | None


@dataclass(frozen=True, kw_only=True)
class SeenProcess:
    """A program that computes on a card. ``container`` is the id of the container it runs in, if it does."""

    uuid: str
    pid: int
    used_mib: float | None
    name: str
    container: str | None


@dataclass(frozen=True, kw_only=True)
class Disk:
    directory: str
    device: str
    free_mib: float


@dataclass(frozen=True, kw_only=True)
class HostFacts:
    """Everything that the host said."""

    docker: Mapping[str, Any]
    docker_error: str
    images: frozenset[str]
    containers: Mapping[str, str]
    """Ids to names of this stack's running containers."""
    published: frozenset[int]
    """Ports that this stack's gateway holds."""
    sockets: frozenset[tuple[str, int]]
    disks: tuple[Disk, ...]
    weights: str
    """Of the stack's volume: ready, missing, unknown (it cannot be looked into), or empty where there is none."""
    local_weights: tuple[str, ...]
    toolkit: tuple[str, ...]
    cards: tuple[SeenCard, ...]
    cards_error: str
    processes: tuple[SeenProcess, ...]
    memory_mib: Mapping[str, float] = field(default_factory=dict)
    machine: str = ""

    @property
    def engine(self) -> str:
        return str(self.docker.get("ServerVersion") or "")

    def ours(self, process: SeenProcess) -> bool:
        """Whether a process belongs to one of this stack's containers."""
        return process.container in self.containers


def ask_host(
    commands: Commands, *, prefix: str, images: Sequence[str] = (), weights: str = "", local_weights: str = ""
) -> HostFacts:
    """Ask a host for its facts. Nothing on it is changed."""
    given = {"PREFIX": prefix, "IMAGES": " ".join(images), "WEIGHTS": weights, "LOCAL_WEIGHTS": local_weights}
    given["FIELDS"] = ",".join(FIELDS)
    lines = [f"{name}={shlex.quote(value)}" for name, value in given.items()]
    script = "\n".join([*lines, SCRIPT.read_text(encoding="utf-8")])
    try:
        done = commands.run(["sh", "-s"], text=script, timeout_s=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise CheckFailed(
            expected=f"the host's facts within {TIMEOUT_S:.0f} s",
            got="no answer: the Docker daemon hangs, or nvidia-smi does",
            do="run `docker info` and `nvidia-smi` there; nvidia-smi hangs when a card fell off its bus",
        ) from None
    if "@@machine" not in done.stdout:
        raise CheckFailed(
            expected="the host to run a shell script",
            got=(done.stderr or done.stdout).strip()[-400:] or f"exit code {done.returncode}",
            do="the ssh user needs an ordinary shell: no forced command, no restricted login",
        )
    return read_facts(done.stdout)


def read_facts(text: str) -> HostFacts:
    """The script's sections as values."""
    parts = re.split(r"^@@(\w+)\n", text, flags=re.MULTILINE)
    sections = {name: body.strip("\n") for name, body in zip(parts[1::2], parts[2::2], strict=True)}
    docker, docker_error = _docker(sections.get("docker", ""))
    cards, cards_error = read_cards(sections.get("cards", ""))
    return HostFacts(
        docker=docker,
        docker_error=docker_error,
        images=frozenset(_lines(sections, "images")),
        containers=dict(line.split(" ", 1) for line in _lines(sections, "containers") if " " in line),
        published=_published(sections.get("published", "")),
        sockets=frozenset(listening(sections.get("listening", ""))),
        disks=tuple(_disk(line) for line in _lines(sections, "disk")),
        weights=sections.get("weights", "").strip(),
        local_weights=tuple(_lines(sections, "local_weights")),
        toolkit=tuple(_lines(sections, "toolkit")),
        cards=cards,
        cards_error=cards_error,
        # nvidia-smi says on standard output what is wrong with it, too.
        processes=tuple(_process(line) for line in _lines(sections, "processes") if PROCESS.match(line)),
        memory_mib={
            name: int(kib.split()[0]) / 1024
            for name, kib in (line.split(":", 1) for line in _lines(sections, "memory"))
        },
        machine=sections.get("machine", "").strip(),
    )


def _lines(sections: Mapping[str, str], name: str) -> list[str]:
    return [line for line in sections.get(name, "").splitlines() if line.strip()]


def _docker(text: str) -> tuple[dict[str, Any], str]:
    """`docker info` as JSON, and why there is none."""
    for line in text.splitlines():
        if line.startswith("{"):
            info: dict[str, Any] = json.loads(line)
            if info.get("ServerVersion"):
                return info, ""
            if errors := info.get("ServerErrors"):
                return {}, "; ".join(map(str, errors))
    rest = [line for line in text.splitlines() if line.strip() and not line.startswith("{")]
    return {}, rest[-1] if rest else "docker info said nothing"


def _published(text: str) -> frozenset[int]:
    bindings = json.loads(text) if text.startswith("{") else {}
    return frozenset(int(binding["HostPort"]) for each in bindings.values() for binding in each or [])


def _disk(line: str) -> Disk:
    columns = line.split()
    return Disk(device=columns[0], free_mib=int(columns[3]) / 1024, directory=columns[-1])


def read_cards(text: str) -> tuple[tuple[SeenCard, ...], str]:
    """nvidia-smi's rows, or what it said instead."""
    *rows, ended = text.splitlines() or [""]
    if ended != "exit 0" or any(row.count(",") != len(FIELDS) - 1 for row in rows if row.strip()):
        return (), " ".join(row.strip() for row in rows if row.strip()) or "nvidia-smi said nothing"
    return tuple(read_card(row) for row in rows if row.strip()), ""


def read_card(row: str) -> SeenCard:
    """One row of `nvidia-smi --query-gpu`, with the fields that host_facts.sh asks for."""
    columns = dict(zip(FIELDS, (column.strip() for column in row.split(",")), strict=True))
    return SeenCard(
        index=int(columns["index"]),
        uuid=columns["uuid"],
        name=columns["name"],
        total_mib=_number(columns["memory.total"]),
        free_mib=_number(columns["memory.free"]),
        used_mib=_number(columns["memory.used"]),
        capability=_number(columns["compute_cap"]),
        driver=columns["driver_version"],
        temperature_c=_number(columns["temperature.gpu"]),
        power_w=_number(columns["power.draw"]),
        power_limit_w=_number(columns["power.limit"]),
    )


def _process(line: str) -> SeenProcess:
    row, _, cgroup = line.partition("\t")
    uuid, pid, used, name = (column.strip() for column in row.split(",", 3))
    found = CONTAINER_ID.findall(cgroup)
    return SeenProcess(
        uuid=uuid, pid=int(pid), used_mib=_number(used), name=name, container=found[-1] if found else None
    )


def _number(text: str) -> float | None:
    """A number with or without its unit; None for [N/A], [Not Supported], [Unknown Error] and their like."""
    found = re.match(r"-?\d+(\.\d+)?", text)
    return float(found[0]) if found else None
