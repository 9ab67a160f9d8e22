"""What does not go together among the settings of a host."""

from __future__ import annotations

import re
from collections.abc import Iterator

from planning.hosts.ssh import SshHost
from planning.settings.areas import HostSettings
from planning.settings.config_commands import rm_line, set_value_line
from planning.settings.errors import ConfigError


def host_errors(stack: str, host: HostSettings) -> Iterator[ConfigError]:
    """Errors between the settings of a host: a key is required for ssh, and means nothing without it."""
    reached = SshHost.of(host)
    pins = {"host_key": host.host_key, "known_hosts_file": host.known_hosts_file}
    if reached is None:
        for name, value in {**pins, "identity_file": host.identity_file}.items():
            if value:
                reason = "only a host.docker of the form ssh://… is reached with it"
                yield ConfigError(f"host.{name}", reason, rm_line(["host", name], stack), value)
        return
    if not 1 <= reached.port <= 65535:
        address = re.sub(r":\d+$", "", reached.address)
        yield ConfigError(
            "host.docker",
            f"there is no port {reached.port}",
            set_value_line(["host", "docker"], address, stack),
            host.docker,
        )
    elif not any(pins.values()):
        yield ConfigError(
            "host.host_key",
            "needed for ssh: without it, whoever sits between here and the host could pose as it and get every key and "
            "document. The line below asks the host itself; before you trust the answer, compare it with what "
            "`cat /etc/ssh/ssh_host_ed25519_key.pub` says on the host's own console",
            f'pulumi config set -s {stack} --path host.host_key "$({reached.keyscan})"',
        )
    elif all(pins.values()):
        yield ConfigError(
            "host.known_hosts_file",
            "host.host_key already says which key the host has; one of both",
            rm_line(["host", "known_hosts_file"], stack),
            host.known_hosts_file,
        )
