"""The simulated GPU host's cards: what its nvidia-smi and its runtime hook read, faults included."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from machine.console import StepFailed

FOREIGN_PID = 4242
FOREIGN_NAME = "/usr/bin/python3"
_NAMESPACE = uuid.UUID("2a9bb0d5-0f0e-5c5f-9a55-7d5d5b3c1f20")  # any fixed one: cards keep their UUIDs


@dataclass(frozen=True)
class Card:
    """A card as nvidia-smi describes it when it idles."""

    name: str
    compute_cap: str
    memory_mib: int
    reserved_mib: int = 0  # neither used nor free: memory.total less what CUDA programs see
    used_mib: int = 2
    celsius: int = 34
    watts: float = 14.2
    limit_watts: float | None = None
    unified: bool = False  # no memory of its own: nvidia-smi has no total, no used and no free


# Totals as nvidia-smi prints them; reserved so that a CUDA program sees the 31.36 and 23.65 GiB that PyTorch reports.
RTX_5090 = Card("NVIDIA GeForce RTX 5090", "12.0", 32607, reserved_mib=494, limit_watts=575.0)
RTX_4090 = Card("NVIDIA GeForce RTX 4090", "8.9", 24564, reserved_mib=347, watts=11.8, limit_watts=450.0)
GB10 = Card("NVIDIA GB10", "12.1", 122571, celsius=41, watts=4.6, unified=True)


@dataclass(frozen=True)
class Profile:
    """A machine: its cards, its driver and the newest CUDA that the driver can run."""

    cards: tuple[Card, ...]
    driver: str = "580.95.05"
    cuda: str = "13.0"

    @property
    def unified_kib(self) -> int | None:
        """What /proc/meminfo has as MemTotal, where cards and processor share the memory."""
        return next((card.memory_mib * 1024 for card in self.cards if card.unified), None)


PROFILES: Mapping[str, Profile] = {
    "rtx5090x2": Profile((RTX_5090, RTX_5090)),
    "single24": Profile((RTX_4090,)),
    "single24-old-driver": Profile((RTX_4090,), driver="570.195.03", cuda="12.8"),
    "single24-new-driver": Profile((RTX_4090,), driver="610.57.04", cuda="13.3"),  # another header in nvidia-smi
    "gb10": Profile((GB10,)),
    "none": Profile((), driver=""),
}


@dataclass(frozen=True)
class Faults:
    """What can be wrong with cards, each by the card's index in its profile."""

    foreign_mib: Mapping[int, int] = field(default_factory=dict)  # another program's memory
    celsius: Mapping[int, int] = field(default_factory=dict)
    missing: Iterable[int] = ()


def find(name: str) -> Profile:
    if name not in PROFILES:
        raise StepFailed(f"no such GPU host: {name}", f"python3 -m lab host {'|'.join(PROFILES)}")
    return PROFILES[name]


def card_uuid(profile: str, index: int) -> str:
    """The same in every run, as a real card's is."""
    return f"GPU-{uuid.uuid5(_NAMESPACE, f'{profile}/{index}')}"


def render(name: str, faults: Faults | None = None) -> str:
    """The file that the stand-ins read; gpu_host/nvidia-smi.awk says what each column is."""
    profile, faults = find(name), faults or Faults()
    if not profile.driver:
        return ""
    lines = [f"driver|{profile.driver}|{profile.cuda}"]
    missing = set(faults.missing)
    for index, card in enumerate(profile.cards):
        if index in missing:
            continue
        columns = (
            card_uuid(name, index), card.name, "N/A" if card.unified else card.memory_mib, card.memory_mib,
            card.reserved_mib, card.used_mib, faults.celsius.get(index, card.celsius), f"{card.watts:.2f}",
            "N/A" if card.limit_watts is None else f"{card.limit_watts:.2f}", card.compute_cap,
            f"00000000:{index + 1:02X}:00.0",
        )  # fmt: skip
        lines.append("|".join(map(str, ("gpu", *columns))))
        if index in faults.foreign_mib:
            process = ("process", card_uuid(name, index), FOREIGN_PID + index, FOREIGN_NAME, faults.foreign_mib[index])
            lines.append("|".join(map(str, process)))
    return "".join(f"{line}\n" for line in lines)


def meminfo(name: str, real: str) -> str | None:
    """/proc/meminfo of a machine whose cards share its memory: the real one with other totals. None for the others."""
    total_kib = find(name).unified_kib
    if total_kib is None:
        return None
    idle_kib = {"MemTotal": total_kib, "MemFree": total_kib - 3 * 2**20, "MemAvailable": total_kib - 2 * 2**20}
    lines = []
    for line in real.splitlines():
        key = line.partition(":")[0]
        lines.append(f"{key}:{idle_kib[key]:>{24 - len(key)}} kB" if key in idle_kib else line)
    return "".join(f"{line}\n" for line in lines)


def write(directory: Path, name: str, faults: Faults | None = None) -> None:
    """Where the stand-ins look, at once or not at all: they may be reading."""
    directory.mkdir(parents=True, exist_ok=True)
    unfinished = directory / "cards.part"
    unfinished.write_text(render(name, faults))
    unfinished.rename(directory / "cards")
