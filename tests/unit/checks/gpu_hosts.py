"""Answers of GPU hosts as host_facts.sh brings them, for the tests that judge them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

VLLM_ID, STRANGER_ID = "a" * 64, "b" * 64
UUIDS = ("GPU-1f0c9d52-8a53-4f4b-9d53-0d7f2f1c0001", "GPU-2a9bb0d5-0f0e-5c5f-9a55-7d5d5b3c1f20")

RTX_5090 = "0, {0}, NVIDIA GeForce RTX 5090, 32607, 32106, 2, 12.0, 580.95.05, 34, 14.20, 575.00\n"
TWO_RTX_5090 = (
    RTX_5090 + "1, {1}, NVIDIA GeForce RTX 5090, 32607, 32106, 2, 12.0, 580.95.05, 33, 13.90, 575.00\n"
).format(*UUIDS)
GB10 = f"0, {UUIDS[0]}, NVIDIA GB10, [N/A], [N/A], [N/A], 12.1, 580.126.09, 36, 3.41, [N/A]\n"

INFO: Mapping[str, Any] = {
    "ServerVersion": "28.5.2",
    "DockerRootDir": "/var/lib/docker",
    "Runtimes": {"runc": {}, "nvidia": {"path": "nvidia-container-runtime"}},
    "DriverStatus": [["Backing Filesystem", "extfs"]],
}
LISTENING = "   0: 0100007F:{port:04X} 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1\n"
GIB_IN_KIB = 2**20


def answer(
    *,
    info: Mapping[str, Any] | None = None,
    docker: str | None = None,
    images: str = "",
    containers: str = "",
    published: str = "",
    ports: tuple[int, ...] = (),
    disk_gib: float = 500,
    weights: str = "",
    local_weights: str = "",
    toolkit: str = "/usr/bin/nvidia-ctk\n",
    cards: str = TWO_RTX_5090,
    cards_ended: int = 0,
    processes: str = "",
    memory_gib: float = 128,
    available_gib: float | None = None,
    machine: str = "x86_64",
) -> str:
    """One host; every argument is one section, as the host would say it."""
    available = memory_gib - 8 if available_gib is None else available_gib
    free = int(disk_gib * GIB_IN_KIB)
    sections = {
        "docker": docker if docker is not None else json.dumps({**INFO, **(info or {})}) + "\n",
        "images": images,
        "containers": containers,
        "published": published,
        "listening": "".join(LISTENING.format(port=port) for port in ports),
        "disk": f"/dev/nvme0n1p2 {2 * free} {free} {free} 50% / /var/lib/docker\n",
        "weights": weights,
        "local_weights": local_weights,
        "toolkit": toolkit,
        "cards": f"{cards}exit {cards_ended}\n",
        "processes": processes,
        "memory": f"MemTotal:  {int(memory_gib * GIB_IN_KIB)} kB\nMemAvailable:  {int(available * GIB_IN_KIB)} kB\n",
        "machine": f"{machine}\n",
    }
    return "".join(f"\n@@{name}\n{text}" for name, text in sections.items())


def process(uuid: str, pid: int, mib: int | str, name: str, container: str = "") -> str:
    """One line of the section about processes."""
    cgroup = f"0::/system.slice/docker-{container}.scope " if container else "0::/user.slice/user-1000.slice "
    return f"{uuid}, {pid}, {mib}, {name}\t{cgroup}\n"


PLAN: dict[str, Any] = {
    "name": "NVIDIA GeForce RTX 5090",
    "count": 2,
    "memory_mib": 32607,
    "usable_mib": 32092,
    "compute_capability": 12.0,
    "unified": False,
}
GB10_PLAN = {
    "name": "NVIDIA GB10", "count": 1, "memory_mib": 122502, "usable_mib": 122470, "compute_capability": 12.1,
    "unified": True,
}  # fmt: skip
FACTS: dict[str, Any] = {
    "prefix": "pageindex-rtx5090",
    "images": ["vllm/vllm-openai:v0.32.0", "nginx:1.30.6"],
    "vllm_image": "vllm/vllm-openai:v0.32.0",
    "cards": PLAN,
    "replicas": [{"container": "pageindex-rtx5090-vllm-0", "cards": [0, 1], "kv_tokens": 120_000}],
    "gpu_memory_utilization": 0.8,
    "weights": {"directory": "Qwen--Qwen3-32B-AWQ/" + "0" * 40, "bytes": 19_329_000_000, "local_path": None},
    "bind": "127.0.0.1",
    "ports": [8000, 3000],
    "waivers": {},
}
