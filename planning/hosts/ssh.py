"""How a GPU host is reached over ssh: options that pin its key, share one connection and never ask anything. Pure."""

from __future__ import annotations

import base64
import hashlib
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from planning.settings.host_key import DEFAULT_PARALLEL

if TYPE_CHECKING:  # a readiness gate that only waits does not load pydantic
    from planning.settings.areas import HostSettings

ADDRESS = re.compile(r"^ssh://(?:(?P<user>[\w.-]+)@)?(?P<host>[\w.-]+)(?::(?P<port>\d{1,5}))?$")
# Which algorithms a pinned key may sign with: an RSA key must not fall back to SHA-1.
ALGORITHMS = {"ssh-rsa": "rsa-sha2-512,rsa-sha2-256"}
DEFAULT_PORT = 22
# Gates ask once or twice a second, so one authenticated connection outlives the pauses between them, but not by long:
# while it stands, every process of this user can use it.
PERSIST_S = 60
CONNECT_TIMEOUT_S = 15
ALIVE_INTERVAL_S, ALIVE_COUNT = 15, 4  # a connection without an answer for a minute is lost

HostAddress = str | Mapping[str, Any] | None
"""As in DOCKER_HOST, empty for the environment's own; for ssh an object as ``SshHost.facts`` makes it."""


def host_key_fingerprint(host_key: str) -> str:
    """As `ssh-keygen -l` shows it."""
    digest = hashlib.sha256(base64.b64decode(host_key.split()[1])).digest()
    return f"SHA256:{base64.b64encode(digest).decode().rstrip('=')}"


@dataclass(frozen=True, kw_only=True)
class SshHost:
    """One host reached over ssh. Nothing in it depends on the machine that ``pulumi`` runs on."""

    address: str
    """ssh://[user@]host[:port]"""
    identity_file: str | None = None
    host_key: str | None = None
    known_hosts_file: str | None = None
    parallel: int = DEFAULT_PARALLEL

    @classmethod
    def of(cls, host: HostSettings) -> SshHost | None:
        """The host that the settings name, or None for a daemon that is reached without ssh."""
        if not is_ssh(host.docker):
            return None
        return cls(
            address=host.docker or "",
            identity_file=host.identity_file,
            host_key=host.host_key,
            known_hosts_file=host.known_hosts_file,
            parallel=host.parallel,
        )

    @classmethod
    def from_facts(cls, facts: HostAddress) -> SshHost | None:
        """The inverse of ``facts``; a plain address has no pinned key and relies on the user's known hosts."""
        if isinstance(facts, Mapping):
            return cls(**facts)
        return cls(address=facts) if facts and is_ssh(facts) else None

    def facts(self) -> dict[str, Any]:
        """What `python -m checks` needs to reach the host, as plain JSON."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def _part(self, name: str) -> str | None:
        found = ADDRESS.match(self.address)
        return found[name] if found else None

    @property
    def name(self) -> str:
        return self._part("host") or self.address

    @property
    def port(self) -> int:
        return int(self._part("port") or DEFAULT_PORT)

    @property
    def key(self) -> str:
        """Short and different for whatever is reached differently: a changed pin must not find an old connection."""
        reached = [self.address, self.identity_file, self.host_key, self.known_hosts_file]
        return hashlib.sha256(repr(reached).encode()).hexdigest()[:16]

    def provider_options(self) -> list[str]:
        """``ssh_opts`` of the docker provider, which adds user, port and host itself."""
        return self._flags(self._shared())

    def command(self, remote: Sequence[str]) -> list[str]:
        """The local command that runs ``remote`` on the host, over the shared connection."""
        return ["ssh", *self._flags(self._shared()), "-T", *self._target(), shlex.join(remote)]

    def forward_command(self, socket: str, address: str, port: int) -> list[str]:
        """The local command that makes the host's ``address:port`` reachable at a local socket, until its input ends.

        On a connection of its own: a forward asked of a shared one outlives whoever asked. `cat` ends with our end of
        the pipe, so that nothing is left behind however we end.
        """
        own = {**self._options(), "ControlMaster": "no", "ControlPath": "none", "ExitOnForwardFailure": "yes"}
        own["LogLevel"] = "INFO"  # where a refused forward is told
        return ["ssh", *self._flags(own), "-T", "-L", f"{socket}:{address}:{port}", *self._target(), "cat"]

    def user_command(self, ports: Sequence[int], address: str = "127.0.0.1") -> str:
        """What a person types to reach the host's ports as their own machine's."""
        forwards = " ".join(f"-L {port}:{address}:{port}" for port in ports)
        identity = f"-i {self.identity_file} " if self.identity_file else ""
        port = f"-p {self.port} " if self.port != DEFAULT_PORT else ""
        user = self._part("user")
        return f"ssh -N {identity}{port}{forwards} {f'{user}@' if user else ''}{self.name}"

    @property
    def keyscan(self) -> str:
        """The command that prints the host's key in the form of ``host_key``."""
        port = f"-p {self.port} " if self.port != DEFAULT_PORT else ""
        return f"ssh-keyscan -t ed25519 {port}{self.name} 2>/dev/null | cut -d' ' -f2,3"

    def _target(self) -> list[str]:
        user = self._part("user")
        return ["-p", str(self.port), *(["-l", user] if user else []), "--", self.name]

    def _shared(self) -> dict[str, str]:
        return {
            **self._options(),
            "ControlMaster": "auto",
            # In the home directory itself: it is there and only ours, while ~/.ssh may be missing, and ssh then fails.
            # Short, because the path of a socket must not have more than some 90 characters.
            "ControlPath": f"~/.pageindex-{self.key}",
            "ControlPersist": str(PERSIST_S),
        }

    def _options(self) -> dict[str, str]:
        options = {
            "BatchMode": "yes",  # nobody is there to answer
            "StrictHostKeyChecking": "yes",
            "UpdateHostKeys": "no",
            "VerifyHostKeyDNS": "no",
            "CheckHostIP": "no",
            "ForwardAgent": "no",
            "ConnectTimeout": str(CONNECT_TIMEOUT_S),
            "ServerAliveInterval": str(ALIVE_INTERVAL_S),
            "ServerAliveCountMax": str(ALIVE_COUNT),
            "LogLevel": "ERROR",
        }
        if self.host_key:
            kind = self.host_key.split()[0]
            options |= {
                "HostKeyAlgorithms": ALGORITHMS.get(kind, kind),
                # No file that would have to be written first, on every machine: ssh asks for the key that it should
                # find, under whatever name or [name]:port it looks it up. OpenSSH 8.5 and newer.
                "KnownHostsCommand": f"/usr/bin/env echo %H {self.host_key}",
                "UserKnownHostsFile": "/dev/null",
                "GlobalKnownHostsFile": "/dev/null",
            }
        elif self.known_hosts_file:
            options |= {
                "KnownHostsCommand": "none",
                "UserKnownHostsFile": self.known_hosts_file,
                "GlobalKnownHostsFile": "/dev/null",
            }
        if self.identity_file:
            options |= {"IdentityFile": self.identity_file, "IdentitiesOnly": "yes"}
        return options

    @staticmethod
    def _flags(options: Mapping[str, str]) -> list[str]:
        return [word for name, value in options.items() for word in ("-o", f"{name}={value}")]


def is_ssh(address: str | None) -> bool:
    return bool(address) and str(address).startswith("ssh://")


def host_facts(host: HostSettings) -> HostAddress:
    """What the checks need to reach the daemon: an address as in DOCKER_HOST, or for ssh everything that pins it."""
    reached = SshHost.of(host)
    return reached.facts() if reached else host.docker


def provider_options(host: HostSettings) -> list[str] | None:
    """``ssh_opts`` of the docker provider; None for a daemon that is reached without ssh."""
    reached = SshHost.of(host)
    return reached.provider_options() if reached else None
