"""Runs a script where the app's dependencies are: its progress comes on stderr, its findings as JSON on stdout."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from machine import python_env
from machine.console import Step, StepFailed
from machine.paths import REPOSITORY
from planning.stack_files import host_in

TOLD_LINES = 15  # of a script that broke off


@contextmanager
def key_file(api_key: str) -> Iterator[Path]:
    """A key for a script, readable by its owner alone and gone afterwards; never an argument or a variable."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "key"
        path.touch(mode=0o600)
        path.write_text(api_key)
        yield path


def found_by(
    script: Path, arguments: Sequence[str], current: Step, environment: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """What ``script`` found. Each line of its progress becomes the step's; StepFailed with the last of them."""
    python_env.APP_TESTS.ensure()
    command = [str(python_env.APP_TESTS.python()), str(script), *arguments]
    told = deque[str](maxlen=TOLD_LINES)
    with (
        tempfile.TemporaryFile("w+") as output,  # a pipe would fill up while the progress is read
        subprocess.Popen(
            command, env={**os.environ, **(environment or {})}, stdout=output, stderr=subprocess.PIPE, text=True
        ) as running,
    ):
        for line in running.stderr or ():
            told.append(line.rstrip())
            current.say(told[-1])
        if running.wait():
            raise StepFailed(f"{script.name} broke off", "make up", told)
        output.seek(0)
        found: dict[str, Any] = json.load(output)
    return found


def refuse_far_stack(stack: str, outputs: Mapping[str, Any]) -> None:
    """Scripts speak plain HTTP on loopback; StepFailed for a stack behind ssh or TLS."""
    there = host_in(REPOSITORY / f"Pulumi.{stack}.yaml").docker or ""
    if there.startswith("ssh://"):
        raise StepFailed(f"stack {stack} is on another machine ({there})", "run this on that machine, with its clone")
    if outputs.get("tls_certificate"):
        mend = f"pulumi config set --path gateway.tls off -s {stack} && pulumi up -s {stack}"
        raise StepFailed(f"stack {stack} speaks TLS", mend)
