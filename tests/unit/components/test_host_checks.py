"""Where the host is asked: before anything comes onto it, and of its cards when the replicas run."""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml

from tests.unit.components.conftest import Made, plain

REPOSITORY = Path(__file__).resolve().parents[3]
COMMAND, PROVIDER = "command:local:Command", "pulumi:providers:docker"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"


@pytest.fixture
def program(deploy: Callable[..., Made], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Made]:
    """The registrations of a stack file's program, with other settings of its host."""

    def run(stack: str, **host: Any) -> Made:
        monkeypatch.chdir(REPOSITORY)
        monkeypatch.delenv("HF_ENDPOINT", raising=False)
        config = yaml.safe_load((REPOSITORY / f"Pulumi.{stack}.yaml").read_text())["config"]
        config["pageindex-stack:host"] = {**config.get("pageindex-stack:host", {}), **host}
        pulumi.runtime.set_all_config(
            {key: value if isinstance(value, str) else json.dumps(value) for key, value in config.items()}, []
        )
        try:
            return deploy(lambda: runpy.run_path(str(REPOSITORY / "__main__.py")), stack=stack)
        finally:
            pulumi.runtime.set_all_config({}, [])

    return run


def facts(made: Made, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(plain(made[COMMAND, name])["stdin"])
    return found


def test_a_local_host_without_cards_is_asked_nothing(program: Callable[..., Made]) -> None:
    made = program("dev")
    assert not [name for kind, name in made if name.startswith(("host-checks", "gpu-checks"))]
    assert "sshOpts" not in plain(made[PROVIDER, "host"])


def test_nothing_comes_onto_a_host_before_it_was_asked(program: Callable[..., Made]) -> None:
    made = program("rtx5090")
    parents = {request.parent for (kind, _), request in made.items() if kind.startswith("docker:index/")}
    names = {urn.rsplit("::", 1)[1] for urn in parents}
    components = {name: request for (kind, name), request in made.items() if name in names}
    assert {"private", "models", "llm", "pageindex", "gateway"} <= set(components)
    # Children are registered when their component is, and a component is when all that it depends on is.
    for name in ("private", "models", "llm", "pageindex", "gateway"):
        request = components[name]
        assert any(urn.endswith("host-checks-fit") for urn in request.dependencies), name


def test_the_host_is_asked_for_what_the_plan_needs(program: Callable[..., Made]) -> None:
    asked = facts(program("rtx5090"), "host-checks-fit")
    assert asked["cards"]["name"] == "NVIDIA GeForce RTX 5090"
    assert asked["replicas"][0]["cards"] == [0, 1]
    assert asked["weights"]["bytes"] > 18e9
    assert asked["ports"] == [8000, 3000]
    assert asked["docker_host"] is None


def test_replicas_are_looked_at_one_by_one_when_they_answer(program: Callable[..., Made]) -> None:
    made = program("rtx5090-replicas")
    asked = facts(made, "gpu-checks-cards")
    assert [replica["cards"] for replica in asked["replicas"]] == [[0], [1]]
    assert all(replica["kv_tokens"] > 0 for replica in asked["replicas"])
    assert plain(made[COMMAND, "gpu-checks-cards"])["triggers"] == ["llm-0-ready-id", "llm-1-ready-id"]


def test_weights_of_the_host_are_looked_for_there(program: Callable[..., Made]) -> None:
    assert facts(program("gb10"), "host-checks-fit")["weights"]["local_path"].startswith("/")


def test_a_remote_host_is_reached_with_its_pin_by_the_provider_and_by_every_check(program: Callable[..., Made]) -> None:
    made = program("dev", docker="ssh://gpu@10.0.0.5", host_key=KEY)
    provider = plain(made[PROVIDER, "host"])
    assert provider["host"] == "ssh://gpu@10.0.0.5"
    assert f"KnownHostsCommand=/usr/bin/env echo %H {KEY}" in json.dumps(provider["sshOpts"])
    checks = [
        request for (kind, _), request in made.items() if kind == COMMAND and "checks" in plain(request)["create"]
    ]
    assert len(checks) > 5
    for request in checks:
        assert KEY in json.dumps(plain(request)["stdin"])


@pytest.mark.parametrize(("host", "builder"), [({}, None), ({"docker": "ssh://gpu@10.0.0.5", "host_key": KEY}, True)])
def test_images_are_built_on_the_daemon_that_the_stack_names(
    program: Callable[..., Made], host: dict[str, str], builder: bool | None
) -> None:
    made = program("dev", **host)
    for name in ("pageindex-image", "models-image"):
        build = plain(made["docker:index/remoteImage:RemoteImage", name])["build"]
        assert build.get("useLegacyBuilder") is builder
        assert ("useLegacyBuilder" in build) is bool(builder)
