"""VllmServer with several replicas, and with weights of the host."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from components import HostModel, VllmServer, VllmServerArgs
from planning.catalog import resolve_model
from planning.placement import Replica
from planning.vllm_settings import VllmSettings
from tests.unit.components.conftest import Made, plain

CONTAINER = "docker:index/container:Container"


@pytest.fixture
def two(deploy: Callable[..., Made]) -> Made:
    """Two replicas of two cards each, with what GB10 and its like need of a container."""
    settings = VllmSettings.model_validate(
        {
            "image": "vllm-cuda",
            "replicas": 2,
            "tensor_parallel_size": 2,
            "ipc": "host",
            "ulimits": {"memlock": -1},
            "log_max_mib": 7,
        }
    )
    weights = HostModel("/srv/models/some-model")
    return deploy(
        lambda: VllmServer(
            "llm",
            VllmServerArgs(
                prefix="pageindex-two",
                settings=settings,
                image="vllm/vllm-openai:v0.32.0",
                model=resolve_model("smollm2-135m-instruct"),
                model_path=weights.path,
                model_mount=weights.mount,
                network_name="n",
                api_key="k" * 43,
                replicas=[Replica(index=0, cards=(0, 1)), Replica(index=1, cards=(2, 3))],
            ),
        )
    )


def containers(made: Made) -> list[dict[str, Any]]:
    return [plain(made[CONTAINER, f"llm-{index}-container"]) for index in (0, 1)]


def test_each_replica_has_its_own_cards_and_no_other(two: Made) -> None:
    requests = [container["deviceRequests"] for container in containers(two)]
    assert [request["deviceIds"] for [request] in requests] == [["0", "1"], ["2", "3"]]


def test_replicas_have_names_of_their_own_and_one_in_common(two: Made) -> None:
    aliases = [container["networksAdvanced"][0]["aliases"] for container in containers(two)]
    assert aliases == [["vllm", "vllm-0"], ["vllm", "vllm-1"]]


def test_weights_of_the_host_are_mounted_read_only(two: Made) -> None:
    for container in containers(two):
        assert container["volumes"][0] == {
            "hostPath": "/srv/models/some-model", "containerPath": "/models/local", "readOnly": True,
        }  # fmt: skip
        assert container["command"][0] == "/models/local"


def test_limits_ipc_and_logs_are_those_of_the_settings(two: Made) -> None:
    for container in containers(two):
        assert container["ulimits"] == [{"name": "memlock", "soft": -1.0, "hard": -1.0}]
        assert container["ipcMode"] == "host"
        assert container["securityOpts"] == ["label=disable", "no-new-privileges:true"]  # the daemon adds the first
        assert container["logOpts"]["max-size"] == "7m"


def test_every_replica_has_a_gate_of_its_own(two: Made) -> None:
    assert {name for kind, name in two if kind == "command:local:Command"} == {"llm-0-ready", "llm-1-ready"}
