"""Gates: wait until a container is healthy, or until a one-shot container has ended well."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from checks.facts import ContainerFacts
from host_access.docker_host import DockerHost
from host_access.outcome import CheckFailed

POLL_S = 0.25
SAY_EVERY_S = 5.0
ENDED = {"exited", "dead"}
RESTARTS_TOLERATED = 2  # a third start shows that the fault is not a passing one


def healthy(facts: ContainerFacts) -> dict[str, Any]:
    """Wait until Docker's health check of ``container`` passes; fail early if it keeps dying."""
    host, name, what = DockerHost(facts.get("docker_host")), facts["container"], facts["what"]
    wait = _Wait(host, name, what, facts["timeout_s"])
    while True:
        details = host.container(name)
        state = details["State"]
        health = state.get("Health", {}).get("Status", "none")
        if health == "healthy":
            return {"container": name, "healthy_after_s": wait.elapsed_s()}
        restarts = details["RestartCount"]
        if restarts > RESTARTS_TOLERATED or (not state["Running"] and not state.get("Restarting")):
            if was_stopped(details):
                raise wait.failure(f"{what} to become healthy", f"somebody stopped {name}", "pulumi up --refresh")
            raise wait.failure(
                f"{what} to become healthy",
                f"it ended with exit code {state['ExitCode']}"
                + (", out of memory" if state.get("OOMKilled") else "")
                + (f", {restarts} times" if restarts else ""),
                "mend what the log lines name, then `pulumi up` again",
            )
        wait.go_on(f"{what} to become healthy", f"still {health}")


def finished(facts: ContainerFacts) -> dict[str, Any]:
    """Wait until the one-shot ``container`` has ended; its last line of JSON is the result.

    One that had failed before we looked is started once more: its cause may be mended since an earlier `up`.
    """
    host, name, what = DockerHost(facts.get("docker_host")), facts["container"], facts["what"]
    wait = _Wait(host, name, what, facts["timeout_s"])
    if has_failed(host.container(name)["State"]):
        host.start(name)
    while True:
        state = host.container(name)["State"]
        if state["Status"] in ENDED:
            break
        wait.go_on(f"{what} to be complete", "not yet complete")
    if state["ExitCode"] != 0:
        raise wait.failure(
            f"{what} to be complete and unchanged",
            f"{name} ended with exit code {state['ExitCode']}",
            "do what its last log lines say, then `pulumi up` again",
        )
    last = host.last_log_lines(name, 1)
    try:
        result = json.loads(last[-1]) if last else {}
    except json.JSONDecodeError:
        result = {}
    return {"container": name, "finished_after_s": wait.elapsed_s(), **result}


def was_stopped(details: dict[str, Any]) -> bool:
    """Whether somebody stopped a container: what ends by itself Docker starts again, unless its policy lets it end."""
    if details["State"]["Status"] not in ENDED:
        return False
    return details["HostConfig"]["RestartPolicy"]["Name"] in {"always", "unless-stopped"}


def has_failed(state: dict[str, Any]) -> bool:
    """Whether a container has ended, and not well."""
    return state["Status"] in ENDED and state["ExitCode"] != 0


class _Wait:
    """A deadline that says from time to time what the container is at."""

    def __init__(self, host: DockerHost, container: str, what: str, timeout_s: float):
        self._host, self._container, self._what = host, container, what
        self._started = time.monotonic()
        self._timeout_s = timeout_s
        self._said_at = self._started
        self._said = ""

    def elapsed_s(self) -> float:
        return round(time.monotonic() - self._started, 1)

    def go_on(self, expected: str, got: str) -> None:
        """Wait a moment, or raise once the deadline has passed."""
        now = time.monotonic()
        if now - self._started > self._timeout_s:
            raise self.failure(
                f"{expected} within {self._timeout_s:.0f} s", got, "look at the log lines; a longer time is a setting"
            )
        if now - self._said_at >= SAY_EVERY_S:
            self._said_at = now
            last = (self._host.last_log_lines(self._container, 1) or [""])[-1]
            if last != self._said:
                self._said = last
                print(f"{self._what}, {self.elapsed_s():.0f} s: {last[-160:]}", file=sys.stderr, flush=True)
        time.sleep(POLL_S)

    def failure(self, expected: str, got: str, do: str) -> CheckFailed:
        return CheckFailed(
            expected=expected,
            got=got,
            do=do,
            container=self._container,
            log=self._host.last_log_lines(self._container),
        )
