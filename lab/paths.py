"""Where the lab keeps its things. Everything of the lab is below one of these three directories."""

from __future__ import annotations

import os
from pathlib import Path

import machine.paths

STATE = Path("/var/lib/pageindex-stack-lab")  # the engine's root, its images and containers, the registry's blobs
RUN = Path("/run/pageindex-stack-lab")  # the socket and the pid files; gone after a reboot, as the processes are
ENGINE_SOCKET = RUN / "docker.sock"
ENGINE_HOST = f"unix://{ENGINE_SOCKET}"
REGISTRY = f"127.0.0.1:{os.environ.get('PAGEINDEX_STACK_REGISTRY_PORT') or 8795}"


def cache() -> Path:
    """Logs, and what can be downloaded or built again."""
    return machine.paths.cache() / "lab"


def gpu_host_run() -> Path:
    """Where the simulated GPU host has its socket and its pid file."""
    return RUN / "gpu-host"
