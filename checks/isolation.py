"""Is the stack cut off? Looks at routes and settings from inside the containers, never by reaching out."""

from __future__ import annotations

from typing import Any

from checks.facts import IsolationFacts, OtherStackFacts
from host_access.docker_host import DockerHost
from host_access.outcome import CheckFailed
from planning.gateway.config import API_PORT, APP_PORT
from planning.hosts.minimum_versions import DOCKER_REFUSED
from planning.hosts.names import STACK_LABEL

ISOLATED_SINCE = (28, 0, 0)  # engines with the `isolated` gateway mode, in which the bridge has no host address
GATEWAY_MODE = "com.docker.network.bridge.gateway_mode_ipv4"


def isolation(facts: IsolationFacts) -> dict[str, Any]:
    """No route out of the isolated containers, no port of theirs on the host, the gateway as the only door."""
    host, network_name = DockerHost(facts.get("docker_host")), facts["network"]
    seen = _internal(host, network_name)
    network = host.network(network_name)
    also_on = facts.get("also_on", {})
    for other in sorted(set(also_on.values())):
        seen += _internal(host, other)
    for name in facts["isolated_containers"]:
        seen += _cut_off(host, name, sorted({network_name, also_on.get(name, network_name)}))
    for other in facts.get("joined", ()):
        seen += _alone_on(host, other, facts["gateway_container"])
    seen += _only_door(host, facts["gateway_container"], network, facts["bind"])
    level = _level(host, network)
    return {"check": "isolation", "ok": True, "level": level, "seen": seen}


def other_stack(facts: OtherStackFacts) -> dict[str, Any]:
    """The isolated network of another stack, before a container of this one joins it."""
    host, name, stack = DockerHost(facts.get("docker_host")), facts["network"], facts["stack"]
    if not host.has_network(name):
        raise CheckFailed(
            expected=f"stack {stack} on this host, with its network {name}",
            got="no such network",
            do=f"pulumi up -s {stack}; or pulumi config rm --path pageindex.ocr",
        )
    return {"check": "other-stack", "ok": True, "seen": _internal(host, name)}


def _internal(host: DockerHost, name: str) -> list[str]:
    if not host.network(name)["Internal"]:
        raise CheckFailed(
            expected=f"network {name} to be internal",
            got="a network with a way out",
            do=f"somebody changed it: docker network rm {name}, then pulumi up --refresh of its stack",
        )
    return [f"network {name} is internal"]


def _cut_off(host: DockerHost, name: str, networks: list[str]) -> list[str]:
    own = " and ".join(networks)
    details = host.container(name)
    joined = sorted(details["NetworkSettings"]["Networks"])
    if joined != networks:
        raise CheckFailed(
            expected=f"{name} on network {own} alone",
            got=f"it is on {', '.join(joined) or 'none'}",
            do=f"docker network disconnect the others, or pulumi up --refresh to replace {name}",
        )
    published = _published(details)
    if published:
        raise CheckFailed(
            expected=f"no published port of {name}",
            got=", ".join(published),
            do=f"remove it (docker rm -f {name}) and pulumi up --refresh",
        )
    if details["HostConfig"]["Privileged"] or details["HostConfig"]["NetworkMode"] == "host":
        raise CheckFailed(
            expected=f"{name} without privileges and without the host's network",
            got=f"privileged={details['HostConfig']['Privileged']}, mode={details['HostConfig']['NetworkMode']}",
            do=f"remove it (docker rm -f {name}) and pulumi up --refresh",
        )
    table = host.read_file(name, "/proc/net/route")
    if not table:
        raise CheckFailed(
            expected=f"to read the route table inside {name}",
            got="nothing",
            do=f"docker exec {name} cat /proc/net/route",
            container=name,
            log=host.last_log_lines(name),
        )
    ways_out = default_routes_v4(table) + default_routes_v6(host.read_file(name, "/proc/net/ipv6_route"))
    if ways_out:
        raise CheckFailed(
            expected=f"no default route inside {name}",
            got=f"one by {', '.join(ways_out)}",
            do=f"docker network inspect {' '.join(networks)}, then pulumi up --refresh",
        )
    return [f"{name}: no default route, no published port, on {own} alone"]


def default_routes_v4(table: str) -> list[str]:
    """Interfaces with a default route in /proc/net/route."""
    rows = [line.split() for line in table.splitlines()[1:]]
    return [row[0] for row in rows if len(row) > 7 and row[1] == row[7] == "00000000"]


def default_routes_v6(table: str) -> list[str]:
    """Interfaces with a usable default route in /proc/net/ipv6_route; the kernel's own reject entries are none."""
    reject = 0x0200
    rows = [line.split() for line in table.splitlines()]
    return [
        row[9]
        for row in rows
        if len(row) > 9 and set(row[0]) == {"0"} and row[1] == "00" and not int(row[8], 16) & reject
    ]


def _only_door(host: DockerHost, gateway: str, network: dict[str, Any], bind: str) -> list[str]:
    members = sorted(member["Name"] for member in network["Containers"].values())
    doors = {name: _published(host.container(name)) for name in members}
    others = [f"{name} ({', '.join(ports)})" for name, ports in doors.items() if ports and name != gateway]
    if others:
        raise CheckFailed(
            expected=f"{gateway} as the only container of the network with published ports",
            got=f"also {'; '.join(others)}",
            do=f"docker network disconnect -f {network['Name']} NAME",
        )
    open_ports = doors.get(gateway, [])
    if not open_ports or any(not port.startswith(f"{bind}:") for port in open_ports):
        raise CheckFailed(
            expected=f"{gateway} to publish its ports on {bind}",
            got=", ".join(open_ports) or "no published port",
            do="pulumi up --refresh",
            container=gateway,
            log=host.last_log_lines(gateway),
        )
    return [f"{gateway} is the only door, at {' and '.join(open_ports)}"]


def _alone_on(host: DockerHost, network: str, gateway: str) -> list[str]:
    """Of everything of ours the gateway alone is on a network of another project."""
    members = sorted(member["Name"] for member in host.network(network)["Containers"].values())
    ours = [name for name in members if STACK_LABEL in (host.container(name)["Config"]["Labels"] or {})]
    if strangers := [name for name in ours if name != gateway]:
        raise CheckFailed(
            expected=f"{gateway} as the only container of ours on network {network}",
            got=f"also {', '.join(strangers)}",
            do=f"docker network disconnect {network} NAME",
        )
    if gateway not in ours:
        raise CheckFailed(
            expected=f"{gateway} on network {network}, which gateway.networks names",
            got=f"on it are {', '.join(members) or 'none'}",
            do="pulumi up --refresh",
        )
    return [f"network {network}: of ours {gateway} alone, at http://{gateway}:{API_PORT} and :{APP_PORT}"]


def _published(details: dict[str, Any]) -> list[str]:
    bindings = details["HostConfig"]["PortBindings"] or {}
    return sorted(f"{b['HostIp'] or '0.0.0.0'}:{b['HostPort']}" for each in bindings.values() for b in each or [])


def _level(host: DockerHost, network: dict[str, Any]) -> str:
    version = host.engine_version()
    if version >= ISOLATED_SINCE and network["Options"].get(GATEWAY_MODE) == "isolated":
        return "isolated"
    if version >= DOCKER_REFUSED.version:
        return "internal; the host's own services on the bridge address can be reached"
    return "internal; names may leak through the host's resolver (CVE-2024-29018): update Docker to 25.0.5 or newer"
