"""The whole program under mocks: what must hold for every stack, whatever its settings."""

from __future__ import annotations

import json
import re
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml

from checks.facts import checked
from planning.models.catalog import resolve_model
from planning.services.compile_caches import CACHES_PATH
from quickstart.update import WAITS, waited_for
from rollout.facts import Facts
from tests.unit.components.conftest import Made, is_secret, plain
from tests.unit.planning.test_bad_stack_files import FILES as BAD_FILES
from tests.unit.planning.test_bad_stack_files import merged

REPOSITORY = Path(__file__).resolve().parents[3]
CONTAINER = "docker:index/container:Container"
STACKS = sorted(path.name.split(".")[1] for path in REPOSITORY.glob("Pulumi.*.yaml"))


@pytest.fixture(params=STACKS)
def made(request: pytest.FixtureRequest, deploy: Callable[..., Made], monkeypatch: pytest.MonkeyPatch) -> Made:
    """Registrations of one stack file's program."""
    monkeypatch.chdir(REPOSITORY)
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    config = yaml.safe_load((REPOSITORY / f"Pulumi.{request.param}.yaml").read_text())["config"]
    return program_of(config, request.param, deploy)


def program_of(config: dict[str, Any], stack: str, deploy: Callable[..., Made]) -> Made:
    """What the program registers with a stack file's configuration."""
    pulumi.runtime.set_all_config(
        {key: value if isinstance(value, str) else json.dumps(value) for key, value in config.items()}, []
    )
    try:
        return deploy(lambda: runpy.run_path(str(REPOSITORY / "__main__.py")), stack=stack)
    finally:
        pulumi.runtime.set_all_config({}, [])


def containers(made: Made) -> dict[str, dict[str, Any]]:
    return {name: plain(request) for (kind, name), request in made.items() if kind == CONTAINER}


def test_only_the_gateway_publishes_ports_and_only_on_loopback(made: Made) -> None:
    publishing = {name: inputs["ports"] for name, inputs in containers(made).items() if inputs.get("ports")}
    assert list(publishing) == ["gateway-container"]
    assert {port["ip"] for port in publishing["gateway-container"]} == {"127.0.0.1"}


def running(made: Made) -> dict[str, dict[str, Any]]:
    """Without the carriers of files, which are created but never started."""
    return {name: inputs for name, inputs in containers(made).items() if not name.endswith("-carrier")}


def replicas(made: Made) -> list[str]:
    """Names of the vLLM containers as resources: what their names on the host start with."""
    return sorted(name for name in containers(made) if re.fullmatch(r"pageindex-[a-z0-9-]+-vllm(-[a-z]+)?-\d+", name))


def test_every_container_has_a_read_only_root_no_capabilities_and_bounded_logs(made: Made) -> None:
    for name, inputs in running(made).items():
        assert inputs["readOnly"] is True, name
        assert inputs["capabilities"] == {"drops": ["ALL"]}, name
        assert set(inputs["securityOpts"]) - {"label=disable"} == {"no-new-privileges:true"}, name
        assert inputs.get("ipcMode") == "host" or "label=disable" not in inputs["securityOpts"], name
        assert inputs["logOpts"] == {"max-size": "100m", "max-file": "5"}, name
        assert not inputs.get("privileged"), name


def test_no_container_that_runs_has_root_as_its_user(made: Made) -> None:
    for name, inputs in running(made).items():
        assert inputs["user"].split(":")[0] not in {"", "0"}, name


def test_vllm_and_the_app_are_on_the_internal_network_alone(made: Made) -> None:
    for name, inputs in containers(made).items():
        if name in (*replicas(made), "pageindex-container"):
            assert [network["name"] for network in inputs["networksAdvanced"]] == [
                plain(made["docker:index/network:Network", "private-network"])["name"]
            ]


def downloads(made: Made) -> bool:
    """Whether the stack's weights come from a hub; the others lie on the host already."""
    return (CONTAINER, "models-fetch") in made


def test_the_downloader_is_the_only_container_with_a_way_out_beside_the_gateway(made: Made) -> None:
    internal = plain(made["docker:index/network:Network", "private-network"])
    assert internal["internal"] is True
    outward = {
        name
        for name, inputs in containers(made).items()
        if any(network["name"] != internal["name"] for network in inputs.get("networksAdvanced", []))
    }
    fetching = {name for kind, name in made if kind == CONTAINER and name.endswith("-fetch")}
    assert outward == fetching | {"gateway-container"}
    assert bool(fetching) is downloads(made)


def test_no_key_stands_in_an_environment_a_command_line_or_a_label(made: Made) -> None:
    key = "k" * 43  # what every generated key is under these mocks
    for name, inputs in containers(made).items():
        for field in ("envs", "command", "entrypoints", "labels", "healthcheck"):
            assert key not in json.dumps(inputs.get(field, "")), f"{name}.{field}"


def test_files_with_keys_are_secrets_of_the_state(made: Made) -> None:
    key = "k" * 43
    seen = 0
    for (kind, name), request in made.items():
        text = json.dumps(plain(request))
        if key in text and kind == CONTAINER:
            for upload in plain(request)["uploads"]:
                if key in json.dumps(upload):
                    seen += 1
                    assert is_secret(upload) or is_secret(upload["content"]), name
        if key in text and kind == "command:local:Command":
            seen += 1
            assert is_secret(plain(request)["stdin"]), name
    assert seen >= 5


def test_every_docker_resource_has_its_component_as_parent_and_our_provider(made: Made) -> None:
    for (kind, name), request in made.items():
        if kind.startswith("docker:index/"):
            assert "pageindex-stack:index:" in request.parent, name
            assert "pulumi:providers:docker::host" in request.provider, name


def test_names_and_labels_on_the_host_start_with_the_stack(made: Made) -> None:
    for (kind, name), request in made.items():
        if kind in {CONTAINER, "docker:index/network:Network", "docker:index/volume:Volume"}:
            inputs = plain(request)
            assert inputs.get("name", name).startswith("pageindex-"), name
            assert {label["label"] for label in inputs["labels"]} >= {
                "pageindex-stack.stack",
                "pageindex-stack.component",
                "pageindex-stack.config-hash",
            }, name


def test_the_weights_outlive_destroy_and_nothing_else_does(made: Made) -> None:
    kept = {name for (kind, name), request in made.items() if kind.startswith("docker:") and request.retainOnDelete}
    assert kept == ({"models-volume"} if downloads(made) else set())


def test_what_holds_a_card_a_port_or_a_name_goes_before_its_successor_comes(made: Made) -> None:
    for (kind, name), request in made.items():
        if kind == CONTAINER and name not in replicas(made):
            assert request.deleteBeforeReplace, name


def test_the_old_replica_is_there_until_its_successor_is_in_use(made: Made) -> None:
    assert replicas(made)
    for name in replicas(made):
        request = made[CONTAINER, name]
        assert request.deleteBeforeReplaceDefined, "unstated, the provider decides otherwise"
        assert not request.deleteBeforeReplace
        inputs = plain(request)
        assert "name" not in inputs
        assert inputs["start"] is False, "the rollout starts it when there is room"
        assert "aliases" not in inputs["networksAdvanced"][0]
    # What is deleted first takes along whatever was made of its outputs.
    first = {name for (kind, name), request in made.items() if request.deleteBeforeReplace}
    for name in replicas(made):
        for inputs_of in made[CONTAINER, name].propertyDependencies.values():
            assert not {urn.rsplit("::", 1)[1] for urn in inputs_of.urns} & (first - {"private-network"})


def test_vllm_is_offline_silent_and_mounts_the_weights_read_only(made: Made) -> None:
    inputs = containers(made)[replicas(made)[0]]
    assert {"HF_HUB_OFFLINE=1", "VLLM_NO_USAGE_STATS=1", "DO_NOT_TRACK=1"} <= set(inputs["envs"])
    assert [each["containerPath"] for each in inputs["volumes"] if not each.get("readOnly")] == [CACHES_PATH]


def test_vllm_waits_until_the_weights_are_verified_and_its_image_does_not(made: Made) -> None:
    def waits_for(kind: str, name: str) -> str:
        return " ".join(made[kind, name].dependencies)

    assert ("models-verified" in waits_for(CONTAINER, replicas(made)[0])) is downloads(made)
    images = [name for kind, name in made if kind == "docker:index/remoteImage:RemoteImage" and name.startswith("llm")]
    assert images
    for image in images:
        assert "-verified" not in waits_for("docker:index/remoteImage:RemoteImage", image)


def test_checks_run_again_when_a_replica_the_app_or_the_gateway_was_replaced(made: Made) -> None:
    for question in ("isolation", "inference", "documents"):
        triggers = plain(made["command:local:Command", f"checks-{question}"])["triggers"]
        rollouts = {f"{name}-id" for kind, name in made if kind == COMMAND and re.fullmatch(r"llm-.*\d-ready", name)}
        assert rollouts
        assert rollouts | {"pageindex-ready-id", "gateway-ready-id"} <= set(triggers)


def test_earlier_weights_go_only_when_asked_to_and_after_every_check(
    deploy: Callable[..., Made], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(REPOSITORY)
    config = yaml.safe_load((REPOSITORY / "Pulumi.single-gpu.yaml").read_text())["config"]
    assert (CONTAINER, "models-prune") not in program_of(config, "single-gpu", deploy)
    made = program_of({**config, "pageindex-stack:model_cache": {"keep_previous": False}}, "single-gpu", deploy)
    prune = made[CONTAINER, "models-prune"]
    model = resolve_model("qwen2.5-7b-instruct")
    assert plain(prune)["command"] == ["prune", "--keep", model.repo, model.revision]
    assert plain(prune)["networkMode"] == "none"
    awaited = {urn.rpartition("::")[2] for urn in prune.dependencies}
    assert {"checks-inference", "checks-isolation", "checks-documents", "gpu-checks-cards"} <= awaited


@pytest.mark.parametrize(("base", "key", "content"), [row[:3] for row in BAD_FILES], ids=lambda value: str(value)[:60])
def test_a_bad_stack_file_stops_the_program_with_its_key_and_a_mending_line(
    base: dict[str, Any],
    key: str,
    content: dict[str, Any],
    deploy: Callable[..., Made],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(REPOSITORY)
    config = {f"pageindex-stack:{name}": value for name, value in merged(base, content).items()}
    with pytest.raises(pulumi.RunError) as refused:
        program_of(config, "s", deploy)
    assert f"pageindex-stack:{key}" in str(refused.value)
    assert "mend: " in str(refused.value)


def test_a_mistyped_namespace_stops_the_program_before_anything_is_registered(
    deploy: Callable[..., Made], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(REPOSITORY)
    config = yaml.safe_load((REPOSITORY / "Pulumi.dev.yaml").read_text())["config"]
    with pytest.raises(pulumi.RunError, match=r"pagindex-stack:gateway(?s:.*)mend: sed "):
        # As Pulumi hands it over: every key of ours is there, with an empty value where the file says nothing.
        program_of(
            {"pageindex-stack:gateway": {}, **config, "pagindex-stack:gateway": {"api_port": 8123}}, "dev", deploy
        )


COMMAND = "command:local:Command"


def told(request: Any) -> dict[str, Any]:
    """The JSON on a command's standard input, a secret's mark taken off."""
    stdin = plain(request)["stdin"]
    return json.loads(stdin["value"] if is_secret(stdin) else stdin)


def test_every_check_and_rollout_is_told_exactly_what_it_reads(made: Made) -> None:
    asked = set()
    for (kind, name), request in made.items():
        create = str(plain(request).get("create", "")) if kind == COMMAND else ""
        if found := re.search(r"-m checks (\S+)$", create):
            asked.add(found[1])
            checked(found[1], told(request))
        elif create.endswith("-m rollout"):
            assert Facts.read(told(request)).slots >= 1, name
    assert {"healthy", "isolation", "inference", "documents", "ports", "gateway-files", "gateway-reload"} <= asked


def test_what_make_up_names_while_a_person_waits_is_made_by_some_stack(made: Made) -> None:
    made_here = {waited_for(name).partition(":")[0] for _, name in made}
    with_cards = {WAITS[name] for name in ("host-checks-fit", "gpu-checks-cards")}
    own_directory = {WAITS[name] for name in ("models-image", "models-verified")} if not downloads(made) else set()
    assert set(WAITS.values()) - with_cards - own_directory <= made_here


def test_no_file_that_is_uploaded_is_empty(made: Made) -> None:
    """The provider refuses such a one, and only at `up`."""
    for (kind, name), request in made.items():
        if kind == "docker:index/container:Container":
            for upload in plain(request).get("uploads", []):
                content = upload["content"]
                assert content["value"] if is_secret(content) else content, f"{name}: {upload['file']}"
