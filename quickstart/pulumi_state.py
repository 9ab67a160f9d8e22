"""Pulumi's state backend and passphrase: the user's own choice, else files in this clone."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path

from machine.paths import STATE

BACKEND = STATE / "backend"
PASSPHRASE_FILE = STATE / "passphrase"


def user_has_chosen_a_backend(pulumi_home: Path | None) -> bool:
    """By variable, or by an earlier `pulumi login`."""
    if os.environ.get("PULUMI_BACKEND_URL") not in (None, "", backend_url()):
        return True
    credentials = (pulumi_home or Path(os.environ.get("PULUMI_HOME") or Path.home() / ".pulumi")) / "credentials.json"
    try:
        return bool(json.loads(credentials.read_text()).get("current"))
    except (OSError, ValueError):
        return False


def user_has_a_passphrase() -> bool:
    ours = str(PASSPHRASE_FILE)
    given = os.environ.get("PULUMI_CONFIG_PASSPHRASE_FILE")
    return "PULUMI_CONFIG_PASSPHRASE" in os.environ or given not in (None, "", ours)


def backend_url() -> str:
    return f"file://{BACKEND}"


def environment(pulumi_home: Path | None) -> dict[str, str]:
    """Variables that point Pulumi at this clone's own state; empty where the user chose otherwise."""
    chosen: dict[str, str] = {}
    if not user_has_chosen_a_backend(pulumi_home):
        chosen["PULUMI_BACKEND_URL"] = backend_url()
    if not user_has_a_passphrase():
        chosen["PULUMI_CONFIG_PASSPHRASE_FILE"] = str(PASSPHRASE_FILE)
    return chosen


def ensure() -> None:
    """Make the clone's own backend and passphrase if they are missing; both are readable by their owner alone."""
    STATE.mkdir(mode=0o700, exist_ok=True)
    BACKEND.mkdir(mode=0o700, exist_ok=True)
    if not PASSPHRASE_FILE.exists():
        unfinished = PASSPHRASE_FILE.with_suffix(".new")
        unfinished.touch(mode=0o600)
        unfinished.write_text(secrets.token_urlsafe(32))
        unfinished.rename(PASSPHRASE_FILE)
