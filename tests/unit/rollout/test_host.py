"""What Docker says of a container, as a rollout understands it."""

from __future__ import annotations

from typing import Any

import pytest

from rollout import host
from rollout.facts import Facts
from rollout.host import DockerReplicas

FACTS = Facts(prefix="pageindex-x", slot=0, slots=1, container="c", what="org/new", served_models=("default",))


def details(name: str, **labels: str) -> dict[str, Any]:
    marks = {f"pageindex-stack.{label}": value for label, value in labels.items()}
    return {
        "Name": f"/{name}",
        "Config": {"Labels": {"pageindex-stack.model": '["org/a", "rev"]', **marks}},
        "State": {"Status": "running", "Health": {"Status": "healthy"}},
        "RestartCount": 2,
    }


class FakeDocker:
    found: list[dict[str, Any]] = []  # noqa: RUF012 (set by each test)
    metrics = ""

    def __init__(self, address: object):
        pass

    def labelled(self, labels: dict[str, str]) -> list[dict[str, Any]]:
        assert labels == {"pageindex-stack.stack": "pageindex-x", "pageindex-stack.component": "vllm"}
        return self.found

    def execute(self, name: str, command: list[str], **more: Any) -> Any:
        class Done:
            returncode, stdout = (0, self.metrics) if self.metrics else (7, "")

        return Done()


@pytest.fixture
def docker(monkeypatch: pytest.MonkeyPatch) -> type[FakeDocker]:
    monkeypatch.setattr(host, "DockerHost", FakeDocker)
    return FakeDocker


def test_replicas_are_known_by_their_label_older_ones_by_their_name_and_carriers_are_none(
    docker: type[FakeDocker],
) -> None:
    docker.found = [
        details("pageindex-x-vllm-1-1a2b3c4", replica="1"), details("pageindex-x-vllm-0"),
        details("pageindex-x-vllm-files"),
    ]  # fmt: skip
    found = DockerReplicas(FACTS).all()
    assert [(each.name, each.slot) for each in found] == [
        ("pageindex-x-vllm-1-1a2b3c4", 1), ("pageindex-x-vllm-0", 0),
    ]  # fmt: skip
    assert found[0].model == "org/a"
    assert found[0].healthy
    assert found[0].restarts == 2


def test_running_and_waiting_requests_are_counted_together(docker: type[FakeDocker]) -> None:
    [replica] = _one(docker)
    docker.metrics = (
        'vllm:num_requests_running{engine="0",model_name="default"} 2.0\n'
        'vllm:num_requests_waiting{engine="0",model_name="default"} 1.0\n'
        'vllm:num_requests_waiting_by_reason{engine="0",reason="capacity"} 1.0\n'
    )
    assert DockerReplicas(FACTS).running_requests(replica) == 3


def test_a_replica_that_says_nothing_is_not_waited_for(docker: type[FakeDocker]) -> None:
    [replica] = _one(docker)
    docker.metrics = ""
    assert DockerReplicas(FACTS).running_requests(replica) is None


def _one(docker: type[FakeDocker]) -> list[Any]:
    docker.found = [details("pageindex-x-vllm-0-1a2b3c4", replica="0")]
    return DockerReplicas(FACTS).all()
