"""What a rollout does to the host: containers started and stopped, the gateway told, a replica asked. Docker only."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from typing import Any, Protocol

from checks.containers import healthy
from host_access.docker_host import DockerHost
from host_access.outcome import CheckFailed
from planning.gateway.replicas import (
    Slots,
    memory_file,
    outage_conf,
    parse_replicas,
    remembered,
    render_replicas,
    replicas_conf,
)
from planning.hosts.names import FILES_PATH, SERVED_LABEL, STACK_LABEL, VLLM_PORT
from rollout.caches import own_caches
from rollout.facts import Facts, Replica
from rollout.model_check import check_model

SCRIPT = f"{FILES_PATH}/replicas.sh"
HERE = f"http://127.0.0.1:{VLLM_PORT}"  # of vLLM, seen from inside its container
_BUSY = re.compile(r"^vllm:num_requests_(?:running|waiting)(?:\{[^}]*\})? ([0-9.e+]+)$", re.MULTILINE)


class Replicas(Protocol):
    """The replicas of one stack and the gateway before them."""

    def all(self) -> list[Replica]: ...
    def look_before_start(self, replica: Replica) -> None:
        """CheckFailed if it must not be started."""
        ...

    def start(self, replica: Replica) -> None: ...
    def retire(self, replica: Replica) -> None:
        """Stop it, and keep Docker from starting it again."""
        ...

    def await_healthy(self, replica: Replica) -> None:
        """CheckFailed if it doesn't become so."""
        ...

    def check(self, replica: Replica) -> str:
        """Its answer to a question; CheckFailed if that is none."""
        ...

    def running_requests(self, replica: Replica) -> int | None:
        """Also those that wait; None if it doesn't say."""
        ...

    def slots(self) -> Slots | None:
        """Who gets requests; None without a gateway."""
        ...

    def route(self, slots: Slots, outage: str) -> None: ...
    def recall(self) -> Mapping[str, float]: ...
    def remember(self, figures: Mapping[str, float]) -> None: ...
    def now_s(self) -> float: ...
    def pause(self, seconds: float) -> None: ...


class DockerReplicas:
    """On the host of the stack's daemon."""

    def __init__(self, facts: Facts):
        self._facts = facts
        self._host = DockerHost(facts.docker_host)
        self._looked_at: set[str] = set()

    def all(self) -> list[Replica]:
        marks = {STACK_LABEL: self._facts.prefix, "pageindex-stack.component": "vllm"}
        labelled = self._host.labelled(marks)
        ours = [each for each in labelled if each["Config"]["Labels"].get(SERVED_LABEL, "") == self._facts.served]
        found = ((details, _slot(details)) for details in ours)
        return [_as_replica(details, slot) for details, slot in found if slot is not None]

    def look_before_start(self, replica: Replica) -> None:
        if replica.name not in self._looked_at:
            own_caches(self._host, self._host.container(replica.name))
            self._looked_at.add(replica.name)

    def start(self, replica: Replica) -> None:
        self.look_before_start(replica)
        self._host.set_restart(replica.name, self._facts.restart)
        self._host.start(replica.name)

    def retire(self, replica: Replica) -> None:
        # `always` would bring it back with the daemon, beside its successor.
        self._host.set_restart(replica.name, "no")
        self._host.stop(replica.name, self._facts.stop_timeout_s)

    def await_healthy(self, replica: Replica) -> None:
        what = f"{replica.model} in {replica.name}"
        timeout_s = self._facts.startup_timeout_s
        healthy(
            {"container": replica.name, "what": what, "timeout_s": timeout_s, "docker_host": self._facts.docker_host}
        )

    def check(self, replica: Replica) -> str:
        def ask(path: str, body: Mapping[str, Any] | None) -> Any:
            command = ["curl", "-sS", "--max-time", "240", "-H", f"@{FILES_PATH}/auth-header"]
            command += ["-H", "Content-Type: application/json", "-d", "@-"] if body is not None else []
            done = self._host.execute(replica.name, [*command, f"{HERE}{path}"], text=json.dumps(body), timeout_s=300)
            try:
                return json.loads(done.stdout)
            except json.JSONDecodeError:
                raise self._unfit(replica, f"an answer from {path}", done.stdout[:200] or done.stderr.strip()) from None

        names, task = self._facts.served_models, self._facts.task
        return check_model(ask, names, task, lambda expected, got: self._unfit(replica, expected, got))

    def _unfit(self, replica: Replica, expected: str, got: str) -> CheckFailed:
        return CheckFailed(
            expected=f"{expected} of {replica.model} in {replica.name}",
            got=got or "nothing",
            do="the model is served but does not work: another image version or dtype often mends it",
            container=replica.name,
            log=self._host.last_log_lines(replica.name),
        )

    def running_requests(self, replica: Replica) -> int | None:
        done = self._host.execute(replica.name, ["curl", "-fsS", "--max-time", "5", f"{HERE}/metrics"])
        found = _BUSY.findall(done.stdout) if done.returncode == 0 else []
        return int(sum(map(float, found))) if found else None

    def slots(self) -> Slots | None:
        if self._facts.gateway is None or not self._host.is_running(self._facts.gateway):
            return None
        return parse_replicas(self._gateway("show", replicas_conf(self._facts.served)))

    def route(self, slots: Slots, outage: str) -> None:
        self._gateway("put", outage_conf(self._facts.served), text=outage)
        self._gateway("put", replicas_conf(self._facts.served), text=render_replicas(slots))
        self._gateway("reload")

    def recall(self) -> Mapping[str, float]:
        return remembered(self._gateway("show", memory_file(self._facts.served)))

    def remember(self, figures: Mapping[str, float]) -> None:
        self._gateway("keep", memory_file(self._facts.served), text=json.dumps(dict(figures)))

    def _gateway(self, *arguments: str, text: str | None = None) -> str:
        gateway = self._facts.gateway or ""
        done = self._host.execute(gateway, ["sh", SCRIPT, *arguments], text=text)
        if done.returncode != 0:
            raise CheckFailed(
                expected=f"the gateway to take {' '.join(arguments)}",
                got=(done.stderr or done.stdout).strip()[-400:] or f"exit code {done.returncode}",
                do=f"docker logs {gateway}; then `pulumi up` again",
            )
        return done.stdout

    def now_s(self) -> float:
        return time.time()

    def pause(self, seconds: float) -> None:
        time.sleep(seconds)


def _slot(details: Mapping[str, Any]) -> int | None:
    """Which replica a container is. Before there were rollouts it was known by its name alone; a carrier is none."""
    if number := details["Config"]["Labels"].get("pageindex-stack.replica"):
        return int(number)
    named = re.search(r"-vllm-(\d+)$", details["Name"])
    return int(named[1]) if named else None


def _as_replica(details: Mapping[str, Any], slot: int) -> Replica:
    marks, state = details["Config"]["Labels"], details["State"]
    return Replica(
        name=details["Name"].removeprefix("/"),
        slot=slot,
        model=json.loads(marks["pageindex-stack.model"])[0],
        status=state["Status"],
        restarts=details["RestartCount"],
        healthy=state.get("Health", {}).get("Status") == "healthy",
    )
