"""Where a clone keeps what belongs to it alone."""

from __future__ import annotations

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
VENV = REPOSITORY / ".venv"
STATE = REPOSITORY / ".state"  # Pulumi's state backend and the passphrase of its secrets
LOGS = STATE / "logs"


def cache() -> Path:
    """What can be downloaded or built again, shared by all clones of this user."""
    base = os.environ.get("PAGEINDEX_STACK_CACHE")
    if base:
        return Path(base)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pageindex-stack"
