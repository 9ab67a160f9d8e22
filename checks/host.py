"""Can this host run the stack? Asked before anything is pulled; whatever is missing is said at once."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from checks.cards import card_faults, card_notes
from checks.host_facts import HostFacts, ask_host
from host_access.commands import commands_on
from host_access.listening import taken
from host_access.outcome import Fault, SeveralFailed
from planning.hosts.minimum_versions import DOCKER_REFUSED, DOCKER_WANTED

MIB_PER_GIB = 1024
# Unpacked, by the start of the name; 28.6 GB was seen of vllm-openai 0.12, and its later ones and NVIDIA's are larger.
IMAGE_GIB: Mapping[str, float] = {
    "vllm/vllm-openai-cpu:": 6,
    "vllm/vllm-openai:": 32,
    "nvcr.io/nvidia/vllm:": 36,
    "nginx:": 0.3,
    "python:": 0.3,
}
OTHER_IMAGE_GIB = 10.0
OWN_IMAGES_GIB = 1.0  # what is built on the host
SLACK_GIB = 2.0  # documents, logs, the compile cache


def host(facts: dict[str, Any]) -> dict[str, Any]:
    """Engine, cards, driver, disk, ports and weights of the host, against what the stack needs."""
    started = time.monotonic()
    weights = facts.get("weights") or {}
    seen = ask_host(
        commands_on(facts.get("docker_host")),
        prefix=facts["prefix"],
        images=facts["images"],
        weights=weights.get("directory") or "",
        local_weights=weights.get("local_path") or "",
    )
    faults = list(_faults(seen, facts))
    if faults:
        raise SeveralFailed(faults)
    warnings = [*engine_notes(seen), *card_notes(seen, facts), *_disk_notes(seen, facts)]
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    cards = facts.get("cards")
    return {
        "check": "host",
        "ok": True,
        "engine": seen.engine,
        "driver": seen.cards[0].driver if cards and seen.cards else None,
        "cards": [f"{card.index}: {card.name}" for card in seen.cards] if cards else [],
        "disk_free_gib": {disk.directory: round(disk.free_mib / MIB_PER_GIB, 1) for disk in seen.disks},
        "warnings": warnings,
        "seconds": round(time.monotonic() - started, 2),
    }


def _faults(seen: HostFacts, facts: Mapping[str, Any]) -> Iterator[Fault]:
    yield from engine_faults(seen, facts.get("waivers") or {})
    if facts.get("cards"):
        yield from card_faults(seen, facts)
    if seen.engine:
        yield from _machine_faults(seen, facts["images"])
        yield from disk_faults(seen, facts)
    yield from port_faults(seen, facts["bind"], facts["ports"])
    yield from _weights_faults(seen, facts.get("weights") or {})


def as_version(text: str) -> tuple[int, int, int]:
    """The first three numbers: 28.5.2+dfsg4 is (28, 5, 2)."""
    numbers = [int(number) for number in re.findall(r"\d+", text)[:3]]
    major, minor, patch = (*numbers, 0, 0, 0)[:3]
    return major, minor, patch


def engine_faults(seen: HostFacts, waivers: Mapping[str, str]) -> Iterator[Fault]:
    """A daemon that answers, and whose internal networks are internal."""
    if not seen.engine:
        denied = "permission denied" in seen.docker_error
        yield Fault(
            "a Docker daemon that answers this user",
            seen.docker_error,
            "sudo usermod -aG docker THAT_USER on the host, then end old ssh connections of it"
            if denied
            else "on the host: systemctl start docker; without Docker: https://docs.docker.com/engine/install/",
        )
        return
    waiver = DOCKER_REFUSED.waiver
    if as_version(seen.engine) < DOCKER_REFUSED.version and waiver not in waivers:
        yield Fault(
            f"Docker Engine {DOCKER_REFUSED.text} or newer, better {DOCKER_WANTED.text}",
            f"{seen.engine}: {DOCKER_REFUSED.reason}",
            "install a newer one on the host"
            + (f', or say why not: pulumi config set --path waivers.{waiver} "REASON"' if waiver else ""),
        )


def engine_notes(seen: HostFacts) -> list[str]:
    """What an engine below the wanted version gives less."""
    if as_version(seen.engine) >= DOCKER_WANTED.version:
        return []
    return [f"Docker Engine {seen.engine} is older than {DOCKER_WANTED.text}: {DOCKER_WANTED.reason}"]


def _machine_faults(seen: HostFacts, images: Sequence[str]) -> Iterator[Fault]:
    """Images that exist for one kind of processor carry its name in their tag."""
    kinds = {"x86_64": "x86_64", "arm64": "aarch64"}
    for image in images:
        kind = next((machine for mark, machine in kinds.items() if image.endswith(f"-{mark}")), None)
        if kind and seen.machine and kind != seen.machine:
            yield Fault(
                f"a host with {kind} processors for {image}", seen.machine, "name an image for it in vllm.image"
            )


def missing_gib(seen: HostFacts, facts: Mapping[str, Any]) -> dict[str, float]:
    """What has yet to come onto the host's disk, by name."""
    needed = {image: _image_gib(image) for image in facts["images"] if image not in seen.images}
    weights = facts.get("weights") or {}
    if weights.get("bytes") and not weights.get("local_path") and seen.weights != "ready":
        needed["weights"] = weights["bytes"] / 2**30
    return needed


def _image_gib(image: str) -> float:
    return next((size for start, size in IMAGE_GIB.items() if image.startswith(start)), OTHER_IMAGE_GIB)


def disk_faults(seen: HostFacts, facts: Mapping[str, Any]) -> Iterator[Fault]:
    """Room for images and weights. Weights that may be there already are no fault: see the notes."""
    needed = missing_gib(seen, facts)
    if seen.weights == "unknown":
        needed.pop("weights", None)
    yield from _no_room(seen, needed)


def _disk_notes(seen: HostFacts, facts: Mapping[str, Any]) -> list[str]:
    if seen.weights != "unknown":
        return []
    short = list(_no_room(seen, missing_gib(seen, facts)))
    return [f"if the weights are not on the host yet, its disk is too small: {fault.got}" for fault in short]


def _no_room(seen: HostFacts, needed: Mapping[str, float]) -> Iterator[Fault]:
    """Docker's directory and containerd's may lie on one disk; where the images go depends on the image store."""
    if not needed or not seen.disks:
        return
    store = "containerd" if "io.containerd.snapshotter" in str(seen.docker.get("DriverStatus")) else "docker"
    disks = {("containerd" if "containerd" in disk.directory else "docker"): disk for disk in seen.disks}
    loads: dict[str, dict[str, float]] = {}
    for name, size_gib in needed.items():
        disk = disks.get("docker" if name == "weights" else store) or seen.disks[0]
        loads.setdefault(disk.device, {})[name] = size_gib
    for device, load in loads.items():
        disk = next(disk for disk in seen.disks if disk.device == device)
        wanted_gib, free_gib = sum(load.values()) + OWN_IMAGES_GIB + SLACK_GIB, disk.free_mib / MIB_PER_GIB
        if free_gib < wanted_gib:
            parts = ", ".join(f"{name} {size:.1f}" for name, size in load.items())
            yield Fault(
                f"{wanted_gib:.0f} GiB free below {disk.directory} ({parts}, the rest for what is built and written)",
                f"{free_gib:.1f} GiB",
                "on the host: docker system df, then docker image prune --all; or move it to a larger disk "
                "(data-root in /etc/docker/daemon.json)",
            )


def port_faults(seen: HostFacts, bind: str, ports: Sequence[int]) -> Iterator[Fault]:
    """Ports that nobody else listens on."""
    gone = taken(bind, set(ports) - seen.published, set(seen.sockets))
    if gone:
        yield Fault(
            f"ports {', '.join(map(str, ports))} on {bind} of the host to be free",
            f"{', '.join(map(str, gone))} taken by another program (ss -ltnp says which)",
            "stop it, or choose another: pulumi config set --path gateway.api_port (or gateway.app_port) PORT",
        )


def _weights_faults(seen: HostFacts, weights: Mapping[str, Any]) -> Iterator[Fault]:
    path = weights.get("local_path")
    if not path:
        return
    files = seen.local_weights
    if not ("config.json" in files and any(name.endswith(".safetensors") for name in files)):
        got = ", ".join(files[:5]) or "an empty directory"
        yield Fault(
            f"config.json and *.safetensors in {path} on the host",
            got,
            "copy the model there, or name its directory: pulumi config set --path model_cache.local_path DIRECTORY",
        )
