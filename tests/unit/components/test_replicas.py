"""VllmServer with several replicas, and with weights of the host."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from components import HostModel, HostModelArgs, VllmServer, VllmServerArgs
from planning.memory.placement import Replica
from planning.models.catalog import resolve_model
from planning.services.compile_caches import CACHES_PATH
from planning.settings.vllm import VllmSettings
from tests.unit.components.conftest import Made, plain

CONTAINER = "docker:index/container:Container"


SETTINGS = {
    "image": "vllm-cuda",
    "replicas": 2,
    "tensor_parallel_size": 2,
    "ipc": "host",
    "ulimits": {"memlock": -1},
    "log_max_mib": 7,
}
IMAGE = "vllm/vllm-openai:v0.32.0"


@pytest.fixture
def two(deploy: Callable[..., Made]) -> Made:
    """Two replicas of two cards each, with what GB10 and its like need of a container."""
    return deployed(deploy, IMAGE)


def deployed(deploy: Callable[..., Made], image: str, card: str = "NVIDIA L40S", **host: Any) -> Made:
    def program() -> None:
        prefix, directory = "pageindex-two", "/srv/models/some-model"
        weights = HostModel(
            "weights", HostModelArgs(prefix=prefix, directory=directory, base_image="python:3.11-slim-bookworm")
        )
        VllmServer(
            "llm",
            VllmServerArgs(
                prefix=prefix,
                settings=VllmSettings.model_validate(SETTINGS),
                image=image,
                card=card,
                model=resolve_model("smollm2-135m-instruct"),
                model_path=weights.path,
                model_mount=weights.mount,
                network_name="n",
                api_key="k" * 43,
                replicas=[Replica(index=0, cards=(0, 1)), Replica(index=1, cards=(2, 3))],
                wait_for=weights.verified,
            ),
        )

    return deploy(program, **host)


def containers(made: Made) -> list[dict[str, Any]]:
    return [plain(made[CONTAINER, f"pageindex-two-vllm-{index}"]) for index in (0, 1)]


def test_each_replica_has_its_own_cards_and_no_other(two: Made) -> None:
    requests = [container["deviceRequests"] for container in containers(two)]
    assert [request["deviceIds"] for [request] in requests] == [["0", "1"], ["2", "3"]]


def test_a_replica_whose_process_ended_is_rolled_out_again_and_no_other(deploy: Callable[..., Made], two: Made) -> None:
    def triggers(made: Made) -> list[Any]:
        return [plain(made_by(made, f"llm-{index}-ready"))["triggers"] for index in (0, 1)]

    before = triggers(two)
    ended = {"pageindex-two-vllm-0-id": "2026-11-27T12:00:00Z"}
    first, second = triggers(deployed(deploy, IMAGE, ends=ended))
    assert second == before[1]
    assert first != before[0]


def test_rollouts_come_one_after_the_other_and_only_when_all_containers_are_there(two: Made) -> None:
    urns = {name: f"::{name}" for name in ("pageindex-two-vllm-0", "pageindex-two-vllm-1", "llm-0-ready")}

    def waits_for(name: str) -> set[str]:
        found = made_by(two, name).dependencies
        return {known for known, end in urns.items() if any(urn.endswith(end) for urn in found)}

    assert waits_for("llm-0-ready") == {"pageindex-two-vllm-0", "pageindex-two-vllm-1"}
    assert waits_for("llm-1-ready") == {"pageindex-two-vllm-0", "pageindex-two-vllm-1", "llm-0-ready"}


def test_a_rollout_knows_its_replica_by_the_name_that_pulumi_gave_it(two: Made) -> None:
    marks = [{label["label"]: label["value"] for label in container["labels"]} for container in containers(two)]
    assert [each["pageindex-stack.replica"] for each in marks] == ["0", "1"]
    assert {each["pageindex-stack.component"] for each in marks} == {"vllm"}


def caches(made: Made) -> dict[str, dict[str, Any]]:
    """The volumes of what is compiled, by their names as resources."""
    kind = "docker:index/volume:Volume"
    return {name: plain(made[kind, name]) for each, name in made if each == kind and "-caches-" in name}


def test_what_a_replica_compiles_is_kept_in_a_volume_that_it_alone_mounts(two: Made) -> None:
    kept = [volume["name"] for _, volume in sorted(caches(two).items())]
    assert len(set(kept)) == 2
    for container, volume in zip(containers(two), kept, strict=True):
        assert {"volumeName": volume, "containerPath": CACHES_PATH} in container["volumes"]
    mounting = [
        name
        for kind, name in two
        if kind == CONTAINER and any(each.get("volumeName") in kept for each in plain(two[kind, name])["volumes"])
    ]
    assert sorted(mounting) == ["pageindex-two-vllm-0", "pageindex-two-vllm-1"]


def test_that_volume_goes_with_the_stack_and_says_what_it_is_of(two: Made) -> None:
    for name, volume in caches(two).items():
        assert not two["docker:index/volume:Volume", name].retainOnDelete, "it holds code"
        marks = {label["label"]: label["value"] for label in volume["labels"]}
        assert marks["pageindex-stack.stack"] == "pageindex-two"
        assert (marks["pageindex-stack.image"], marks["pageindex-stack.card"]) == (IMAGE, "NVIDIA L40S")


def test_another_image_or_card_is_a_resource_beside_the_old_one_for_whoever_goes_back(
    two: Made, deploy: Callable[..., Made]
) -> None:
    assert caches(deployed(deploy, IMAGE)).keys() == caches(two).keys()
    assert not caches(deployed(deploy, "vllm/vllm-openai:v0.33.0")).keys() & caches(two).keys()
    assert not caches(deployed(deploy, IMAGE, "NVIDIA L4")).keys() & caches(two).keys()


def made_by(made: Made, name: str) -> Any:
    return next(request for (_, each), request in made.items() if each == name)


def test_how_replicas_are_replaced_replaces_none(two: Made) -> None:
    base = VllmSettings.model_validate({"image": "vllm-cuda"})
    for changes in ({"rollout": "recreate"}, {"rollback": False}, {"drain_timeout_s": 5}, {"replicas": 3}):
        assert base.model_copy(update=changes).replica_settings() == base.replica_settings()
    assert base.model_copy(update={"max_num_seqs": 3}).replica_settings() != base.replica_settings()


def test_weights_of_the_host_are_mounted_read_only(two: Made) -> None:
    for container in containers(two):
        assert container["volumes"][0] == {
            "hostPath": "/srv/models/some-model", "containerPath": "/models/local", "readOnly": True,
        }  # fmt: skip
        assert container["command"][0] == "/models/local"


def test_weights_of_the_host_are_looked_at_by_vllms_own_user_without_a_network(two: Made) -> None:
    check = plain(two[CONTAINER, "weights-check"])
    assert check["command"] == ["check", "/models/local"]
    assert check["volumes"] == containers(two)[0]["volumes"][:1]
    assert check["networkMode"] == "none"
    assert check["user"] == containers(two)[0]["user"]


def test_limits_ipc_and_logs_are_those_of_the_settings(two: Made) -> None:
    for container in containers(two):
        assert container["ulimits"] == [{"name": "memlock", "soft": -1.0, "hard": -1.0}]
        assert container["ipcMode"] == "host"
        assert container["securityOpts"] == ["label=disable", "no-new-privileges:true"]  # the daemon adds the first
        assert container["logOpts"]["max-size"] == "7m"


def test_every_replica_has_a_gate_of_its_own(two: Made) -> None:
    gates = {name for kind, name in two if kind == "command:local:Command" and name.startswith("llm-")}
    assert gates == {"llm-0-ready", "llm-1-ready"}
