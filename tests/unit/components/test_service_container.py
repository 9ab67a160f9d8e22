"""A described service becomes a hardened container: a further service needs a description and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pulumi
import pytest

from components.service_container import FILES_LABEL, service_container, service_files
from planning.services.service import (
    FILES_VOLUME,
    Health,
    LogLimits,
    PublishedPort,
    Scratch,
    Service,
    Volume,
)
from tests.unit.components.conftest import Made, plain

CONTAINER = "docker:index/container:Container"
CACHE = Service(
    component="cache",
    user="999:0",
    networks=("internal", "edge"),
    alias="redis",
    entrypoint=("redis-server",),
    command=("/run/pageindex-stack/redis.conf",),
    environment={"TZ": "UTC"},
    files={"notes.txt": "plain"},
    secret_files=frozenset({"redis.conf"}),
    volumes=(Volume(name="data", path="/data"), Volume(name=FILES_VOLUME, path="/run/pageindex-stack", read_only=True)),
    scratch=(Scratch(path="/tmp", size_mib=16, executable=True, owner=999),),
    memory_mib=256,
    shared_memory_mib=64,
    health=Health(command=("redis-cli", "ping"), startup_s=90, timeout_s=3, interval_s=7),
    stop_grace_s=12,
    stop_signal="SIGINT",
    restart="on-failure",
    logs=LogLimits(max_mib=7, max_files=2),
    ports=(PublishedPort(inside=6379, outside=16379, address="127.0.0.1"),),
    cards=(1, 3),
    identity=("v1",),
)


def deployed(service: Service, deploy: Callable[..., Made], secrets: dict[str, str]) -> Made:
    def program() -> None:
        files = service_files(
            "cache-files",
            service,
            prefix="pageindex-x",
            image="sha256:1",
            secrets={name: pulumi.Output.secret(text) for name, text in secrets.items()},
            opts=pulumi.ResourceOptions(),
        )
        service_container(
            "cache-container",
            service,
            prefix="pageindex-x",
            host_name="pageindex-x-cache",
            image="sha256:1",
            networks={"internal": "pageindex-x-internal", "edge": "pageindex-x-edge"},
            mounts={"data": {"volume_name": "pageindex-x-data"}, FILES_VOLUME: {"volume_name": files.volume_name}},
            labelled={FILES_LABEL: files.digest},
            opts=pulumi.ResourceOptions(),
        )

    return deploy(program)


@pytest.fixture
def container(deploy: Callable[..., Made]) -> dict[str, Any]:
    return plain(deployed(CACHE, deploy, {"redis.conf": "requirepass secret"})[CONTAINER, "cache-container"])


def test_every_part_of_a_description_reaches_the_container(container: dict[str, Any]) -> None:
    wanted = {
        "name": "pageindex-x-cache",
        "user": "999:0",
        "entrypoints": ["redis-server"],
        "command": ["/run/pageindex-stack/redis.conf"],
        "envs": ["TZ=UTC"],
        "tmpfs": {"/tmp": "size=16m,exec,uid=999"},
        "memory": 256,
        "memorySwap": 256,
        "shmSize": 64,
        "stopTimeout": 12,
        "destroyGraceSeconds": 12,
        "stopSignal": "SIGINT",
        "restart": "on-failure",
        "logOpts": {"max-size": "7m", "max-file": "2"},
        "ports": [{"internal": 6379, "external": 16379, "ip": "127.0.0.1"}],
        "networksAdvanced": [{"name": "pageindex-x-internal", "aliases": ["redis"]}, {"name": "pageindex-x-edge"}],
    }
    assert {key: container[key] for key in wanted} == wanted
    assert container["deviceRequests"][0]["deviceIds"] == ["1", "3"]
    probe = container["healthcheck"]
    assert probe["tests"] == ["CMD", "redis-cli", "ping"]
    assert (probe["startPeriod"], probe["timeout"], probe["interval"]) == ("1m30s", "3s", "7s")
    assert [(each["containerPath"], each.get("readOnly", False)) for each in container["volumes"]] == [
        ("/data", False),
        ("/run/pageindex-stack", True),
    ]


def test_whatever_a_description_says_the_root_is_read_only_without_capabilities(container: dict[str, Any]) -> None:
    assert container["readOnly"] is True
    assert container["capabilities"] == {"drops": ["ALL"]}
    assert "no-new-privileges:true" in container["securityOpts"]


def test_a_file_that_is_no_secret_of_the_service_or_is_missing_is_refused(deploy: Callable[..., Made]) -> None:
    for secrets in ({}, {"redis.conf": "x", "other": "y"}):
        with pytest.raises(ValueError, match="secret files"):
            deployed(CACHE, deploy, secrets)


def test_what_a_description_leaves_out_is_left_to_docker(deploy: Callable[..., Made]) -> None:
    bare = Service(component="bare", user="1:0", networks=("internal",))

    def program() -> None:
        service_container(
            "bare",
            bare,
            prefix="p",
            host_name=None,
            image="i",
            networks={"internal": "n"},
            mounts={},
            opts=pulumi.ResourceOptions(),
        )

    made = plain(deploy(program)[CONTAINER, "bare"])
    for key in ("entrypoints", "command", "tmpfs", "memory", "healthcheck", "ports", "deviceRequests", "stopTimeout"):
        assert key not in made, key
