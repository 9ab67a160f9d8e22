"""Gates: what they wait for, and when they stop waiting."""

from __future__ import annotations

from typing import Any

import pytest

from checks import containers
from host_access.outcome import CheckFailed

FACTS = {"container": "vllm", "what": "the model", "timeout_s": 5}


class FakeHost:
    """Plays one state of the container after the other, and stays at the last."""

    def __init__(self, *states: dict[str, Any], log: list[str] | None = None):
        self.states = list(states)
        self.log = log or ["the last line"]
        self.started = 0
        self.after_start: list[dict[str, Any]] = []

    def start(self, name: str) -> None:
        self.started += 1
        self.states = self.after_start or self.states

    def container(self, name: str) -> dict[str, Any]:
        return self.states.pop(0) if len(self.states) > 1 else self.states[0]

    def last_log_lines(self, name: str, count: int = 20) -> list[str]:
        return self.log[-count:]


def state(
    health: str = "starting",
    running: bool = True,
    code: int = 0,
    restarts: int = 0,
    status: str = "running",
    oom: bool = False,
) -> dict[str, Any]:
    return {
        "RestartCount": restarts,
        "State": {
            "Running": running, "ExitCode": code, "Status": status, "OOMKilled": oom, "Health": {"Status": health},
        },
    }  # fmt: skip


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "POLL_S", 0.001)


def use(monkeypatch: pytest.MonkeyPatch, host: FakeHost) -> None:
    monkeypatch.setattr(containers, "DockerHost", lambda address: host)


def test_healthy_waits_through_starting(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, FakeHost(state(), state(), state("healthy")))
    assert containers.healthy(FACTS)["container"] == "vllm"


def test_healthy_gives_up_on_a_container_that_keeps_dying(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, FakeHost(state(code=1, restarts=3), log=["ValueError: no such flag"]))
    with pytest.raises(CheckFailed) as raised:
        containers.healthy(FACTS)
    assert "exit code 1" in raised.value.got
    assert raised.value.log == ["ValueError: no such flag"]


def test_healthy_names_out_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, FakeHost(state(running=False, code=137, oom=True)))
    with pytest.raises(CheckFailed, match="out of memory"):
        containers.healthy(FACTS)


@pytest.mark.parametrize(
    ("policy", "said", "do"),
    [
        ("unless-stopped", "somebody stopped vllm", "pulumi up --refresh"),
        ("no", "it ended with exit code 0", "mend what the log lines name, then `pulumi up` again"),
    ],
)
def test_healthy_tells_a_container_that_was_stopped_from_one_that_ended(
    monkeypatch: pytest.MonkeyPatch, policy: str, said: str, do: str
) -> None:
    ended = {**state(running=False, status="exited"), "HostConfig": {"RestartPolicy": {"Name": policy}}}
    use(monkeypatch, FakeHost(ended))
    with pytest.raises(CheckFailed) as raised:
        containers.healthy(FACTS)
    assert (raised.value.got, raised.value.do) == (said, do)


def test_healthy_stops_at_its_deadline_with_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, FakeHost(state()))
    with pytest.raises(CheckFailed) as raised:
        containers.healthy({**FACTS, "timeout_s": 0.05})
    assert "still starting" in raised.value.got
    assert raised.value.log


def test_finished_returns_what_the_one_shot_said_last(monkeypatch: pytest.MonkeyPatch) -> None:
    log = ["12 %", '{"commit": "abc", "verified": "offline"}']
    use(monkeypatch, FakeHost(state(), state(status="exited", running=False), log=log))
    assert containers.finished(FACTS)["verified"] == "offline"


def test_finished_fails_with_the_one_shots_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, FakeHost(state(status="exited", running=False, code=3), log=["model.safetensors differs"]))
    with pytest.raises(CheckFailed) as raised:
        containers.finished(FACTS)
    assert "exit code 3" in raised.value.got
    assert raised.value.log == ["model.safetensors differs"]


def test_a_one_shot_that_failed_in_an_earlier_up_is_started_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    host = FakeHost(state(status="exited", running=False, code=3), log=['{"verified": "downloaded"}'])
    host.after_start = [state(), state(status="exited", running=False)]
    use(monkeypatch, host)
    assert containers.finished(FACTS)["verified"] == "downloaded"
    assert host.started == 1
