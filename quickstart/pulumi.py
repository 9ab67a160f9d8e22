"""Calls of the pulumi command line in this clone."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from machine.console import StepFailed
from machine.paths import REPOSITORY
from quickstart.environment import environment

CALL_FAILED = "read the message above, then run the same command again"


def call(*arguments: str, mend: str = CALL_FAILED) -> None:
    """Run pulumi with its own display on this terminal; StepFailed if it fails."""
    try:
        done = subprocess.run(["pulumi", *arguments], cwd=REPOSITORY, env=environment(), check=False)
    except FileNotFoundError:
        raise StepFailed("there is no pulumi yet", "make up") from None
    if done.returncode != 0:
        raise StepFailed(f"`pulumi {' '.join(arguments[:3])}` ended with exit code {done.returncode}", mend)


def answer(*arguments: str) -> str | None:
    """What pulumi prints, or None if it fails."""
    try:
        done = subprocess.run(
            ["pulumi", *arguments], cwd=REPOSITORY, env=environment(), capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None


def outputs(stack: str) -> dict[str, Any]:
    """The stack's outputs, secrets in clear; StepFailed if it isn't up."""
    printed = answer("stack", "output", "--stack", stack, "--json", "--show-secrets")
    found: dict[str, Any] = json.loads(printed) if printed else {}
    if "api_key" not in found:
        mend = "make up" if stack == "dev" else f"pulumi up -s {stack}"
        raise StepFailed(f"stack {stack} is not up", mend)
    return found


def select_or_create(stack: str) -> None:
    """Make the stack if it isn't there."""
    known = json.loads(answer("stack", "ls", "--json") or "[]")
    if not any(Path(entry["name"]).name == stack for entry in known):
        call("stack", "init", stack, mend="look at the message above, then run the same command again")


def resource_count(stack: str) -> int:
    """Resources in the stack's state; 0 where there is no such stack."""
    for entry in json.loads(answer("stack", "ls", "--json") or "[]"):
        if Path(entry["name"]).name == stack:
            return int(entry.get("resourceCount") or 0)
    return 0
