"""The plugin's schema says what each input is for, and what it makes is what the components make."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml
from pulumi.provider.experimental.analyzer import Analyzer

from planning.settings.areas import PageIndexSettings
from planning.settings.gateway import GatewaySettings
from planning.settings.vllm import VllmSettings
from provider import generate
from provider.foundations import IsolatedNetwork, ModelCache, SecretKey
from provider.inputs import model_from, settings_from
from provider.serving import Checks, Gateway, PageIndexApp, VllmServer
from tests.unit.components.conftest import Made, deploy, is_secret, plain  # noqa: F401 (a fixture)

REPOSITORY = Path(__file__).resolve().parents[3]
COMPONENTS = [SecretKey, IsolatedNetwork, ModelCache, Gateway, VllmServer, PageIndexApp, Checks]
CONTAINER = "docker:index/container:Container"


@pytest.fixture(scope="module")
def schema() -> Any:
    return Analyzer("pageindex-stack").analyze(components=COMPONENTS)


def test_every_component_input_and_output_has_a_description(schema: Any) -> None:
    assert set(schema["component_definitions"]) == {each.__name__ for each in COMPONENTS}
    for name, component in schema["component_definitions"].items():
        assert component.description, name
        for kind in (component.inputs, component.outputs):
            assert [field for field, about in kind.items() if not about.description] == [], name
    for name, settings in schema["type_definitions"].items():
        assert [field for field, about in settings.properties.items() if not about.description] == [], name


def test_settings_have_the_fields_of_planning_under_the_names_of_other_languages(schema: Any) -> None:
    for model in (VllmSettings, GatewaySettings, PageIndexSettings):
        known = schema["type_definitions"][f"{model.__name__}Args"].properties_mapping
        assert set(known.values()) == set(model.model_fields), model.__name__


def test_the_generated_types_are_current() -> None:
    assert generate.TARGET.read_text(encoding="utf-8") == generate.source(), "python -m provider.generate"


def test_numbers_of_the_protocol_are_whole_again_and_what_was_left_out_has_its_default() -> None:
    settings = settings_from(VllmSettings, {"max_model_len": 8192.0, "replicas": None, "memory_gib": 10.0}, "settings")
    assert settings.max_model_len == 8192
    assert settings.replicas == 1
    assert settings.memory_gib == 10


def test_every_fault_of_the_settings_is_named_as_the_caller_writes_it() -> None:
    with pytest.raises(pulumi.InputPropertiesError) as refused:
        settings_from(VllmSettings, {"max_model_len": -1.0, "extra": 1.0, "kv_cache_dtype": "int4"}, "settings")
    errors = refused.value.errors or []
    assert {each["property_path"] for each in errors} == {
        "settings.maxModelLen",
        "settings.extra",
        "settings.kvCacheDtype",
    }


def test_an_unknown_model_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(pulumi.InputPropertiesError) as refused:
        model_from("gpt-17")
    assert "smollm2-135m-instruct" in (refused.value.errors or [{}])[0]["reason"]


@pytest.fixture
def made(deploy: Callable[..., Made]) -> Made:  # noqa: F811
    def program() -> None:
        network = IsolatedNetwork("network", {"prefix": "mine"})
        key = SecretKey("key", {})
        gateway = Gateway(
            "gateway",
            {
                "prefix": "mine",
                "settings": {"api_port": 8100.0},  # type: ignore[typeddict-item]
                "network_name": network.network_name,
                "client_keys": {"me": key.value},
                "upstream_key": key.value,
                "app_upstream": None,
            },
        )
        VllmServer(
            "llm",
            {
                "prefix": "mine",
                "model": "smollm2-135m-instruct",
                "revision": None,
                "settings": {"image": "vllm-cpu", "device": "cpu"},
                "card_count": None,
                "model_volume": "mine-models",
                "network_name": network.network_name,
                "api_key": key.value,
                "gateway_container_id": gateway.container_id,
            },
        )

    return deploy(program)


def test_what_the_plugin_makes_is_as_hardened_as_what_the_program_makes(made: Made) -> None:
    containers = {name: plain(request) for (kind, name), request in made.items() if kind == CONTAINER}
    assert {"gateway-container", "mine-vllm-0"} <= set(containers)
    running = {name: each for name, each in containers.items() if not name.endswith("-carrier")}
    for name, container in running.items():
        assert container["readOnly"], name
        assert container["capabilities"] == {"drops": ["ALL"]}, name
    assert [name for name, each in running.items() if each.get("ports")] == ["gateway-container"]


def test_keys_reach_files_as_secrets(made: Made) -> None:
    for (kind, name), request in made.items():
        if kind == CONTAINER and name in {"gateway-files-carrier", "llm-files-carrier"}:
            contents = {each["file"]: each["content"] for each in plain(request)["uploads"]}
            secret = [
                file for file, content in contents.items() if re.search(r"clients|upstream|vllm.yaml|header", file)
            ]
            assert secret
            assert all(is_secret(contents[file]) for file in secret), name


def test_the_example_names_only_inputs_that_there_are(schema: Any) -> None:
    program = yaml.safe_load((REPOSITORY / "examples" / "yaml" / "Pulumi.yaml").read_text(encoding="utf-8"))
    used = {resource["type"].rpartition(":")[2] for resource in program["resources"].values()}
    assert used == {each.__name__ for each in COMPONENTS}
    for name, resource in program["resources"].items():
        component = schema["component_definitions"][resource["type"].rpartition(":")[2]]
        given = resource.get("properties", {})
        assert set(given) <= set(component.inputs), name
        needed = {field for field, about in component.inputs.items() if not about.optional}
        assert needed <= set(given), name


def test_the_plugin_can_be_started_with_and_without_a_language_host() -> None:
    folder = REPOSITORY / "provider"
    assert yaml.safe_load((folder / "PulumiPlugin.yaml").read_text(encoding="utf-8")) == {"runtime": "python"}
    assert os.access(folder / "pulumi-resource-pageindex-stack", os.X_OK)
