"""`pulumi up` as a person wants to see it: what is being made, how much is done, and the whole log in a file.

Pulumi writes its engine's events to a file while it runs; they are read as they come.
"""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from machine.console import Step, StepFailed, duration, line, step
from machine.paths import LOGS, REPOSITORY
from quickstart.environment import environment

POLL_S = 0.2
SLOW_S = 3.0  # a resource that takes longer is named while it is made
# What a person waits for, by the resource's name: title while it runs.
WAITS = {
    "pageindex-image": "build the app's image",
    "models-image": "build the downloader's image",
    "models-verified": "fetch and verify the weights",
    "llm-image": "get vLLM's image",
    "llm-0-ready": "start vLLM and ask it a question",
    "pageindex-ready": "start PageIndex",
    "gateway-healthy": "start the gateway",
    "checks-isolation": "check the isolation",
    "checks-inference": "check an answer of the model",
    "checks-documents": "check an answer from a document",
    "host-checks-fit": "check the host",
    "gpu-checks-cards": "check the cards",
}
OF_A_MODEL = re.compile(
    r"(?P<component>llm|models|host-checks|gpu-checks)-(?P<name>[a-z0-9][a-z0-9-]*?)-(?P<what>0-ready|image|verified|fit|cards)"
)
# Of the engine's steps those that make something. A replacement is three steps, of which one makes.
MAKES = ("create", "update", "create-replacement")
UP_FAILED = "read the message above; nothing that worked before was taken away, and the same command goes on from here"


@dataclass
class Progress:
    """What the events have told so far."""

    begun: dict[str, float] = field(default_factory=dict)
    """Resources that are being worked on, by URN, and since when."""
    met: set[str] = field(default_factory=set)
    ended: set[str] = field(default_factory=set)
    made: set[str] = field(default_factory=set)
    """URNs: a resource has several steps where it is compared with the host first, or replaced."""
    errors: list[str] = field(default_factory=list)

    @property
    def seen(self) -> int:
        """Resources that the engine has begun with."""
        return len(self.met)

    @property
    def done(self) -> int:
        """Those that it is through with."""
        return len(self.ended)

    @property
    def changed(self) -> int:
        """Those that were made, changed or removed."""
        return len(self.made)

    def take(self, event: Mapping[str, Any], now_s: float) -> str | None:
        """Take in one event of the engine; the title of what a person waited for, once it is done."""
        if found := event.get("resourcePreEvent"):
            self.met.add(found["metadata"]["urn"])
            self.begun[found["metadata"]["urn"]] = now_s
        elif found := event.get("resOutputsEvent"):
            return self._finished(found["metadata"], now_s)
        elif found := event.get("resOpFailedEvent"):
            self.begun.pop(found["metadata"]["urn"], None)
        elif (found := event.get("diagnosticEvent")) and found.get("severity") == "error":
            text = found["message"].strip()
            if text and text not in self.errors:
                self.errors.append(text)
        return None

    def _finished(self, metadata: Mapping[str, Any], now_s: float) -> str | None:
        since = self.begun.pop(metadata["urn"], None)
        if since is None:
            return None
        self.ended.add(metadata["urn"])
        if metadata["op"] in (*MAKES, "delete"):
            self.made.add(metadata["urn"])
        if metadata["op"] not in MAKES:
            return None
        title = waited_for(name_of(metadata["urn"]))
        return f"{title} ({duration(now_s - since)})" if title else None

    def now(self, now_s: float) -> str:
        """What is being worked on, the longest first."""
        slow = sorted((since, urn) for urn, since in self.begun.items() if now_s - since >= SLOW_S)
        names = [waited_for(name_of(urn)) for _, urn in slow]
        return ", ".join(name for name in names if name)


def waited_for(name: str) -> str:
    """What a person waits for; empty for what is quick. Of several models the one is named."""
    model = OF_A_MODEL.fullmatch(name)
    if not model:
        return WAITS.get(name, "")
    title = WAITS.get(f"{model['component']}-{model['what']}", "")
    return title and f"{title}: {model['name']}"


def name_of(urn: str) -> str:
    """A resource's own name."""
    return urn.rpartition("::")[2]


def update(stack: str, *options: str) -> None:
    """Run `pulumi up` without a preview; StepFailed with Pulumi's own error messages if it fails."""
    log, events = LOGS / "pulumi-up.log", LOGS / "pulumi-up.events"
    LOGS.mkdir(parents=True, exist_ok=True)
    events.unlink(missing_ok=True)
    events.touch(mode=0o600)  # holds configuration, secrets masked
    command = ["pulumi", "up", "--stack", stack, "--yes", "--skip-preview", "--suppress-outputs", "--non-interactive"]
    command += ["--color", "never", "--event-log", str(events), *options]
    # The option that writes events is one of those that Pulumi shows to programs only.
    variables = environment() | {"PULUMI_DEBUG_COMMANDS": "true"}
    progress = Progress()
    try:
        with step(f"Bring up stack {stack}") as current, log.open("w", encoding="utf-8") as output:
            try:
                running = subprocess.Popen(
                    command, cwd=REPOSITORY, env=variables, stdin=subprocess.DEVNULL, stdout=output, stderr=output
                )
            except FileNotFoundError:
                raise StepFailed("there is no pulumi yet", "make up") from None
            try:
                code = _watch(running, events, progress, current)
            except BaseException:
                running.terminate()  # Pulumi ends what it has begun and writes its state
                running.wait()
                raise
            if code != 0:
                told = [text for error in progress.errors for text in error.splitlines()] or _tail(log)
                raise StepFailed(f"`pulumi up` ended with exit code {code}; its whole log is {log}", UP_FAILED, told)
            current.result(
                f"{progress.changed} of {progress.done} resources changed; log {log.relative_to(REPOSITORY)}"
            )
    finally:
        events.unlink(missing_ok=True)


def _watch(running: subprocess.Popen[bytes], events: Path, progress: Progress, current: Step) -> int:
    with events.open(encoding="utf-8") as written:
        while True:
            ended = running.poll()  # before the rest is read: nothing is written after the end
            for event in _complete_lines(written):
                if done := progress.take(event, time.monotonic()):
                    line(f"    ✓ {done}")
            current.progress(progress.done, progress.seen, "resources")
            current.say(progress.now(time.monotonic()))
            if ended is not None:
                return ended
            time.sleep(POLL_S)


def _complete_lines(written: Any) -> Iterator[Mapping[str, Any]]:
    """The events that are there whole; half a line is read again later."""
    while True:
        position = written.tell()
        text = written.readline()
        if not text.endswith("\n"):
            written.seek(position)
            return
        yield json.loads(text)


def _tail(log: Path) -> list[str]:
    return log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:]
