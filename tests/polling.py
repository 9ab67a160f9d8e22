"""Waiting without guessing how long: ask until it is so."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

RECOVERY_S = 420.0  # vLLM starts in 30 s on idle cores, and in minutes on busy ones
PAUSE_S = 0.05


def until(condition: Callable[[], Any], what: str, timeout_s: float = RECOVERY_S) -> Any:
    """Poll until the condition holds; returns what it returned. The time is a promise, not a pause."""
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {timeout_s:.0f} s: {what}"
        time.sleep(PAUSE_S)
    return found
