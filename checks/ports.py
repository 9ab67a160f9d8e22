"""Can the gateway have its ports and its networks? Asked before the running gateway is taken away."""

from __future__ import annotations

import errno
import socket
from typing import Any

from checks.facts import PortsFacts
from host_access.commands import commands_on
from host_access.docker_host import COMMAND_TIMEOUT_S, DockerHost
from host_access.listening import TABLES, listening, taken
from host_access.outcome import CheckFailed
from planning.hosts.ssh import SshHost


def ports(facts: PortsFacts) -> dict[str, Any]:
    """Ports that nobody listens on, or that the stack's own gateway holds, and networks that are there."""
    bind, wanted = facts["bind"], set(facts["ports"])
    host = DockerHost(facts.get("docker_host"))
    held = host.published_ports(facts["gateway_container"])
    for network in facts.get("networks", ()):
        if not host.has_network(network):
            raise CheckFailed(
                expected=f"network {network}, which gateway.networks names",
                got="no such network",
                do=f"start the project whose it is, or docker network create {network}; docker network ls lists all",
            )
    if SshHost.from_facts(facts.get("docker_host")):
        tables = commands_on(facts["docker_host"]).run(["cat", *TABLES], timeout_s=COMMAND_TIMEOUT_S).stdout
        gone = taken(bind, wanted - held, listening(tables))
    else:
        gone = sorted(port for port in wanted - held if not _is_free(bind, port))
    if gone:
        raise CheckFailed(
            expected=f"ports {', '.join(map(str, sorted(wanted)))} on {bind} to be free",
            got=f"{', '.join(map(str, gone))} taken by another program (ss -ltnp says which)",
            do="stop it, or choose another: pulumi config set --path gateway.api_port (or gateway.app_port) PORT",
        )
    return {"check": "ports", "ok": True, "seen": [f"{bind}:{port} can be had" for port in sorted(wanted)]}


def _is_free(bind: str, port: int) -> bool:
    with socket.socket() as probe:
        # As Docker's own proxy does it: connections that are closing do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((bind, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise CheckFailed(
                expected=f"{bind} to be an address of this machine",
                got=str(error),
                do="pulumi config set --path gateway.bind 127.0.0.1",
            ) from None
    return True
