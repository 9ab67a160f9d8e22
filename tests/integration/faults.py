"""Breaks what runs, and waits for what becomes of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from tests.integration.pulumi_project import docker

RECOVERY_S = 420.0  # vLLM starts in 30 s on idle cores, and in minutes on busy ones


def until(condition: Callable[[], Any], what: str, timeout_s: float = RECOVERY_S) -> Any:
    """Poll until the condition holds; returns what it returned."""
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {timeout_s:.0f} s: {what}"
        time.sleep(0.2)
    return found


def kill_engine(container: str) -> None:
    """End vLLM's engine process as the out-of-memory killer would; the server then ends itself."""
    code = (
        "import os; others = [int(name) for name in os.listdir('/proc') if name.isdigit()];"
        "[os.kill(pid, 9) for pid in others if pid not in (1, os.getpid())]"
    )
    docker("exec", container, "python3", "-c", code, ok=False)  # the container may end before the command does
