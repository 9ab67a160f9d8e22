"""The isolation check against hosts that keep, and that break, the promise."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from checks import isolation as module
from host_access.outcome import CheckFailed

HEAD = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
OWN_SUBNET = HEAD + "eth0\t000012AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n"
WITH_DEFAULT = OWN_SUBNET + "eth0\t00000000\t010012AC\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
V6_REJECT = "00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo"  # noqa: E501
V6_DEFAULT = V6_REJECT.replace("00200200       lo", "00000003     eth0")

FACTS = {
    "network": "n",
    "isolated_containers": ["vllm", "app"],
    "gateway_container": "gateway",
    "bind": "127.0.0.1",
}


def container(networks: list[str], ports: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "NetworkSettings": {"Networks": dict.fromkeys(networks)},
        "HostConfig": {"PortBindings": ports or {}, "Privileged": False, "NetworkMode": "bridge"},
    }


class FakeHost:
    def __init__(self) -> None:
        self.version = (28, 5, 2)
        self.routes = {"vllm": OWN_SUBNET, "app": OWN_SUBNET}
        self.routes_v6 = V6_REJECT
        self.options = {module.GATEWAY_MODE: "isolated"}
        self.internal = True
        self.others = {"ocr": True}  # networks of other stacks, and whether they are internal
        self.containers = {
            "vllm": container(["n"]),
            "app": container(["n"]),
            "gateway": container(["n", "edge"], {"8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8000"}]}),
        }

    def engine_version(self) -> tuple[int, ...]:
        return self.version

    def network(self, name: str) -> dict[str, Any]:
        members = {name: {"Name": name} for name in self.containers}
        return {
            "Name": name,
            "Internal": self.others.get(name, self.internal),
            "Options": self.options,
            "Containers": members,
        }

    def has_network(self, name: str) -> bool:
        return name in self.others

    def container(self, name: str) -> dict[str, Any]:
        return copy.deepcopy(self.containers[name])

    def read_file(self, name: str, path: str) -> str:
        return self.routes_v6 if path.endswith("ipv6_route") else self.routes[name]

    def last_log_lines(self, name: str) -> list[str]:
        return [f"last words of {name}"]


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    fake = FakeHost()
    monkeypatch.setattr(module, "DockerHost", lambda address: fake)
    return fake


def test_a_stack_that_is_cut_off_passes_and_names_its_level(host: FakeHost) -> None:
    result = module.isolation(FACTS)
    assert result["ok"] is True
    assert result["level"] == "isolated"


@pytest.mark.parametrize(
    ("version", "level"),
    [
        ((28, 0, 0), "isolated"),
        ((27, 5, 1), "internal; the host's"),
        ((25, 0, 5), "internal; the host's"),
        ((20, 10, 24), "CVE-2024-29018"),
    ],
)
def test_an_old_engine_is_said_to_isolate_less(host: FakeHost, version: tuple[int, ...], level: str) -> None:
    host.version = version
    assert level in module.isolation(FACTS)["level"]


def broken(host: FakeHost) -> CheckFailed:
    with pytest.raises(CheckFailed) as raised:
        module.isolation(FACTS)
    return raised.value


def test_a_network_with_a_way_out_fails(host: FakeHost) -> None:
    host.internal = False
    assert "internal" in broken(host).expected


def test_a_default_route_inside_a_container_fails(host: FakeHost) -> None:
    host.routes["app"] = WITH_DEFAULT
    assert broken(host).expected == "no default route inside app"


def test_an_ipv6_default_route_fails_and_the_kernels_reject_entry_does_not(host: FakeHost) -> None:
    host.routes_v6 = f"{V6_REJECT}\n{V6_DEFAULT}"
    assert "eth0" in broken(host).got


def test_an_unreadable_route_table_fails_instead_of_passing(host: FakeHost) -> None:
    host.routes["vllm"] = ""
    assert "route table inside vllm" in broken(host).expected


def test_a_second_network_of_vllm_fails(host: FakeHost) -> None:
    host.containers["vllm"] = container(["n", "bridge"])
    assert "it is on bridge, n" in broken(host).got


def test_a_container_may_be_on_another_stacks_network_only_where_that_is_meant_and_internal(host: FakeHost) -> None:
    host.containers["app"] = container(["n", "ocr"])
    assert "it is on n, ocr" in broken(host).got
    meant = {**FACTS, "also_on": {"app": "ocr"}}
    assert "app: no default route, no published port, on n and ocr alone" in module.isolation(meant)["seen"]
    host.others["ocr"] = False
    with pytest.raises(CheckFailed, match="network ocr to be internal"):
        module.isolation(meant)


def test_on_another_projects_network_the_gateway_is_alone_of_ours(host: FakeHost) -> None:
    joined = {**FACTS, "joined": ["shop"]}
    for name in ("vllm", "app", "gateway"):
        host.containers[name]["Config"] = {"Labels": {}}
    host.containers["gateway"]["Config"] = {"Labels": {"pageindex-stack.stack": "s"}}
    assert any("of ours gateway alone" in line for line in module.isolation(joined)["seen"])
    host.containers["app"]["Config"] = {"Labels": {"pageindex-stack.stack": "s"}}
    with pytest.raises(CheckFailed, match="also app"):
        module.isolation(joined)
    host.containers["app"]["Config"] = host.containers["gateway"]["Config"] = {"Labels": {}}
    with pytest.raises(CheckFailed, match="gateway on network shop"):
        module.isolation(joined)


def test_a_stack_that_is_not_there_is_named_with_the_commands_that_mend_it(host: FakeHost) -> None:
    assert module.other_stack({"network": "ocr", "stack": "scans"})["ok"] is True
    host.others = {}
    with pytest.raises(CheckFailed) as raised:
        module.other_stack({"network": "ocr", "stack": "scans"})
    assert raised.value.do.startswith("pulumi up -s scans")


def test_a_published_port_of_vllm_fails(host: FakeHost) -> None:
    host.containers["vllm"] = container(["n"], {"8000/tcp": [{"HostIp": "", "HostPort": "8000"}]})
    assert broken(host).got == "0.0.0.0:8000"


def test_a_stranger_with_a_port_on_the_network_fails(host: FakeHost) -> None:
    host.containers["stranger"] = container(["n"], {"1/tcp": [{"HostIp": "127.0.0.1", "HostPort": "9"}]})
    assert "stranger" in broken(host).got


def test_a_gateway_on_all_addresses_fails(host: FakeHost) -> None:
    ports = {"8080/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8000"}]}
    host.containers["gateway"] = container(["n", "edge"], ports)
    assert broken(host).log == ["last words of gateway"]
