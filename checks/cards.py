"""Cards as planned? Judged from what the host's nvidia-smi says, before a deployment and after it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from checks.host_facts import HostFacts, SeenCard, SeenProcess
from host_access.outcome import Fault
from planning.hosts.minimum_versions import DRIVER_FOR_CUDA_13, cuda_major

MIB_PER_GIB = 1024
MEMORY_TOLERANCE = 0.02  # ECC and driver versions move the total by less than this
UNIFIED_TOLERANCE = 0.05  # what Linux has depends on the firmware
NVIDIA_CUDA_13_SINCE = "25.08"  # NVIDIA's images by month
DRIVER_FOR_CUDA_12 = 525  # https://docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html
DRIVER_FOR_BLACKWELL = 570
BLACKWELL = 10.0  # compute capability
CONSUMER = re.compile(r"GeForce|TITAN")


def card_faults(seen: HostFacts, facts: Mapping[str, Any]) -> Iterator[Fault]:
    """Cards by name, number and memory, a driver that is new enough, Docker that can hand them out, free memory."""
    wanted = facts["cards"]
    if not seen.cards:
        yield Fault(
            f"{wanted['count']} × {wanted['name']}",
            f"nvidia-smi: {seen.cards_error}",
            "install NVIDIA's driver on the host and reboot it; `nvidia-smi` there must list the cards",
        )
        return
    yield from _as_planned(seen, wanted, _used(facts))
    yield from driver_faults(seen, facts["vllm_image"], bool(facts.get("cuda_compatibility")))
    if seen.engine and not hands_out_cards(seen):
        yield Fault(
            "Docker to hand cards to containers",
            "neither NVIDIA's runtime or hook nor a CDI description of nvidia.com/gpu",
            "on the host: install nvidia-container-toolkit, then "
            "sudo nvidia-ctk runtime configure --runtime=docker && sudo systemctl restart docker",
        )
    yield from memory_faults(seen, facts)


def _used(facts: Mapping[str, Any]) -> list[int]:
    return sorted({card for replica in facts["replicas"] for card in replica["cards"]})


def _as_planned(seen: HostFacts, wanted: Mapping[str, Any], used: Sequence[int]) -> Iterator[Fault]:
    by_index = {card.index: card for card in seen.cards}
    missing = [index for index in used if index not in by_index]
    there = ", ".join(f"{card.index}: {card.name}" for card in seen.cards)
    if missing or len(seen.cards) < wanted["count"]:
        yield Fault(
            f"{wanted['count']} cards",
            f"{len(seen.cards)} ({there})",
            "look for the missing one (`dmesg | grep -i nvrm` on the host), or plan with those that are there: "
            f"pulumi config set --path host.gpus.count {len(seen.cards)}",
        )
    for index in used:
        if index in by_index:
            yield from differences(by_index[index], wanted, seen.memory_mib)


def differences(card: SeenCard, wanted: Mapping[str, Any], memory_mib: Mapping[str, float]) -> Iterator[Fault]:
    """Name, memory and compute capability of one card against the plan."""
    if card.name != wanted["name"]:
        yield Fault(
            f"card {card.index} to be {wanted['name']}",
            card.name,
            f'pulumi config set --path host.gpus.name "{card.name}", and look at the plan again',
        )
        return
    total, tolerance = card.total_mib, MEMORY_TOLERANCE
    if total is None and wanted["unified"]:
        total, tolerance = memory_mib.get("MemTotal"), UNIFIED_TOLERANCE
    if total is None or total < wanted["memory_mib"] * (1 - tolerance):
        yield Fault(
            f"{wanted['memory_mib']} MiB of memory on card {card.index}",
            "none reported" if total is None else f"{total:.0f} MiB",
            "pulumi config set --path host.gpus.memory_mib to what is there, and look at the plan again"
            if total
            else "pulumi config set --path host.gpus.unified_memory true, if card and host share one memory",
        )
    capability = wanted.get("compute_capability")
    if capability and card.capability is not None and abs(card.capability - capability) > 0.01:
        yield Fault(
            f"compute capability {capability} of card {card.index}",
            str(card.capability),
            f"pulumi config set --type float --path host.gpus.compute_capability {card.capability}",
        )


def image_cuda(image: str) -> int | None:
    """CUDA's major version in vLLM's own images and NVIDIA's; None where the name does not tell."""
    if monthly := re.search(r"nvcr\.io/nvidia/\w+:(\d\d\.\d\d)", image):
        return 13 if monthly[1] >= NVIDIA_CUDA_13_SINCE else 12
    return cuda_major(image)


def needed_driver(image: str, capability: float | None) -> tuple[int, str] | None:
    """The lowest driver for an image on a card, with the reason; None where the image's CUDA is unknown."""
    cuda = image_cuda(image)
    if cuda is None:
        return None
    if cuda >= 13:
        return DRIVER_FOR_CUDA_13.version[0], f"{image} has CUDA 13"
    if capability is not None and capability >= BLACKWELL:
        return DRIVER_FOR_BLACKWELL, f"older ones do not know cards with compute capability {capability}"
    return DRIVER_FOR_CUDA_12, f"{image} has CUDA 12"


def _too_old(seen: HostFacts, image: str) -> tuple[SeenCard, int, str] | None:
    for card in seen.cards:
        needed = needed_driver(image, card.capability)
        if needed and int(card.driver.split(".")[0]) < needed[0]:
            return card, *needed
    return None


def driver_faults(seen: HostFacts, image: str, compatibility: bool) -> Iterator[Fault]:
    """The host's driver against the image's CUDA."""
    found = _too_old(seen, image)
    if not found or _compatible(found[0], image, compatibility):
        return
    card, needed, reason = found
    older = image_cuda(image) == 13 and needed_driver(image, None) and "vllm/vllm-openai" in image
    other = " or pulumi config set --path vllm.image to its variant with -cu129" if older else ""
    yield Fault(
        f"NVIDIA driver {needed} or newer: {reason}",
        f"{card.driver} for {card.name}",
        f"update the host's driver (Debian and Ubuntu: nvidia-driver-{needed}-open){other}",
    )


def _compatible(card: SeenCard, image: str, asked: bool) -> bool:
    """CUDA's compatibility libraries lift the image over an older driver, on professional cards alone."""
    return not CONSUMER.search(card.name) and (asked or image.startswith("nvcr.io/nvidia/"))


def hands_out_cards(seen: HostFacts) -> bool:
    """Whether one of the ways is there in which `docker run --gpus` works."""
    runtimes = seen.docker.get("Runtimes") or {}
    devices = seen.docker.get("DiscoveredDevices") or []
    hook = any("nvidia-container-runtime-hook" in tool for tool in seen.toolkit)
    described = any("/cdi/" in tool for tool in seen.toolkit) or "nvidia.com/gpu" in str(devices)
    return "nvidia" in runtimes or hook or described


def strangers(seen: HostFacts, card: SeenCard) -> list[SeenProcess]:
    """What computes on a card and is not this stack's."""
    return [process for process in seen.processes if process.uuid == card.uuid and not seen.ours(process)]


def memory_faults(seen: HostFacts, facts: Mapping[str, Any]) -> Iterator[Fault]:
    """vLLM refuses to start unless its whole share is free; what this stack holds now, it gives back first."""
    wanted, share = facts["cards"], facts["gpu_memory_utilization"]
    for card in (card for card in seen.cards if card.index in _used(facts)):
        free = seen.memory_mib.get("MemAvailable") if wanted["unified"] else card.free_mib
        mine = [process for process in seen.processes if process.uuid == card.uuid and seen.ours(process)]
        if free is None or any(process.used_mib is None for process in mine):
            continue
        free += sum(process.used_mib or 0 for process in mine)
        needed = share * wanted["usable_mib"]
        if free >= needed:
            continue
        others = strangers(seen, card)
        who = ", ".join(f"{each.name} (pid {each.pid}, {each.used_mib or 0:.0f} MiB)" for each in others)
        possible = int(free / wanted["usable_mib"] * 100) / 100
        yield Fault(
            f"{needed:.0f} MiB free on card {card.index}: {share} of its memory",
            f"{free:.0f} MiB" + (f"; others: {who}" if who else "; a desktop, perhaps, or the system itself"),
            "end the others, or take less: "
            f"pulumi config set --type float --path vllm.gpu_memory_utilization {possible}, if the plan still fits",
        )


def card_notes(seen: HostFacts, facts: Mapping[str, Any]) -> list[str]:
    """What is worth knowing and stops nothing."""
    if not facts.get("cards"):
        return []
    notes = []
    found = _too_old(seen, facts["vllm_image"])
    if found:
        notes.append(
            f"driver {found[0].driver} is older than {found[1]}; CUDA's compatibility libraries are counted on"
        )
    for card in (card for card in seen.cards if card.index in _used(facts)):
        others = strangers(seen, card)
        if others:
            names = ", ".join(f"{process.name} (pid {process.pid})" for process in others)
            notes.append(f"card {card.index} is shared with {names}")
    return notes
