"""Commands on the host that runs the stack: on this machine, or over ssh with a pinned key, bounded and tried again."""

from __future__ import annotations

import fcntl
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from host_access.outcome import CheckFailed
from machine.paths import cache
from planning.hosts.ssh import HostAddress, SshHost, host_key_fingerprint

SSH_FAILED = 255  # ssh's own exit code; everything else is the remote command's
PAUSES_S = (0.5, 1.0, 2.0, 4.0)  # before the second, third, ... attempt
SLOT_POLL_S = 0.05
# What ssh says of itself when it shares a connection; never a line of the remote command.
SSH_CHATTER = ("ControlSocket ", "mux_client_", "Shared connection to ")


class Commands(Protocol):
    """Runs commands on the host."""

    def run(
        self, command: Sequence[str], *, text: str | None = None, timeout_s: float
    ) -> subprocess.CompletedProcess[str]:
        """Run to the end, whatever the exit code; ``text`` goes to its standard input."""
        ...


def commands_on(address: HostAddress) -> Commands:
    """How commands reach the host of the daemon at ``address``."""
    host = SshHost.from_facts(address)
    return SshCommands(host) if host else LocalCommands(str(address or ""))


class LocalCommands:
    """This machine; ``address`` is where its `docker` finds the daemon."""

    def __init__(self, address: str = ""):
        self._environment = {**os.environ, **({"DOCKER_HOST": address} if address else {})}

    def run(
        self, command: Sequence[str], *, text: str | None = None, timeout_s: float
    ) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                list(command),
                env=self._environment,
                input=text,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=timeout_s,
                check=False,
            )
        except FileNotFoundError:
            return subprocess.CompletedProcess(list(command), 127, "", f"{command[0]}: command not found\n")


class SshCommands:
    """A host over ssh. A lost connection is tried again, a wrong key or a refused login is not."""

    def __init__(self, host: SshHost):
        self.host = host

    def run(
        self, command: Sequence[str], *, text: str | None = None, timeout_s: float
    ) -> subprocess.CompletedProcess[str]:
        for pause_s in (*PAUSES_S, None):
            with slot(self.host):
                done = self._once(command, text, timeout_s)
            if done.returncode != SSH_FAILED:
                return done
            told = done.stderr.strip()
            refuse_what_no_retry_mends(self.host, told)
            if pause_s is None:
                raise connection_lost(self.host, told)
            # Not all at once again: many may have been dropped together.
            wait_s = pause_s * random.uniform(0.5, 1.5)  # noqa: S311
            print(f"no connection to {self.host.name} ({_last(told)}); again in {wait_s:.1f} s", file=sys.stderr)
            time.sleep(wait_s)
        raise AssertionError("the last attempt returns or raises")

    def _once(self, command: Sequence[str], text: str | None, timeout_s: float) -> subprocess.CompletedProcess[str]:
        try:
            done = subprocess.run(
                self.host.command(command),
                input=text or "",  # never our own standard input, which ssh would swallow
                capture_output=True,
                text=True,
                errors="replace",
                timeout=timeout_s,
                check=False,
            )
        except FileNotFoundError:
            raise no_ssh() from None
        done.stderr = "".join(
            line for line in done.stderr.splitlines(keepends=True) if not line.startswith(SSH_CHATTER)
        )
        return done


@contextmanager
def slot(host: SshHost) -> Iterator[None]:
    """Hold one of ``host.parallel`` places, shared with every other check that talks to the host.

    sshd drops handshakes when many come at once (MaxStartups), and sessions above MaxSessions.
    """
    directory = state_directory()
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    while True:
        for number in range(host.parallel):
            with Path(directory, f"{host.key}.{number}").open("a") as place:
                try:
                    fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                yield
                return  # closing the file gives the place back, as does the end of the process, however it ends
        time.sleep(SLOT_POLL_S)


def state_directory() -> Path:
    """Where places are counted."""
    return cache() / "ssh"


def refuse_what_no_retry_mends(host: SshHost, told: str) -> None:
    """Raise CheckFailed if ``told``, what ssh said, names a fault that stays however often one tries."""
    if re.search(r"Host key verification failed|IDENTIFICATION HAS CHANGED|no matching host key type", told):
        pinned = (
            f"the key {host_key_fingerprint(host.host_key)}" if host.host_key else "the host key that known hosts name"
        )
        other = re.search(r"SHA256:[A-Za-z0-9+/]+", told)
        raise CheckFailed(
            expected=f"{host.name} to prove itself with {pinned}",
            got=f"another key, {other[0]}" if other else _last(told),
            do="if the host was set up anew, compare with `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on its "
            f'console, then: pulumi config set --path host.host_key "$({host.keyscan})"; if not, somebody may sit in '
            "between: find out before you go on",
        )
    if "Permission denied (" in told:
        identity = f"-i {host.identity_file} " if host.identity_file else ""
        raise CheckFailed(
            expected=f"to be let in by {host.address}",
            got="; ".join(told.splitlines()[-2:]),
            do=f"ssh-copy-id {identity}to that user, or name another key: pulumi config set --path host.identity_file "
            "FILE; a key with a passphrase must be in the agent (ssh-add)",
        )
    if re.search(r"Could not resolve hostname .*(not known|nodename nor servname|No address)", told):
        raise CheckFailed(
            expected=f"the name {host.name} to have an address",
            got=_last(told),
            do="pulumi config set --path host.docker ssh://user@ADDRESS",
        )
    if re.search(r"Bad configuration option|Unsupported option|keyword .* extra arguments", told):
        raise CheckFailed(
            expected="OpenSSH 8.5 or newer on this machine, for KnownHostsCommand",
            got=_last(told),
            do="update it, or give host.known_hosts_file instead of host.host_key",
        )


def connection_lost(host: SshHost, told: str) -> CheckFailed:
    """The fault after the last attempt."""
    return CheckFailed(
        expected=f"a connection to {host.address}",
        got=f"none in {len(PAUSES_S) + 1} attempts: {_last(told)}",
        do=f"look whether it is up and reachable: ssh -v -p {host.port} {host.name}; then `pulumi up` goes on",
    )


def no_ssh() -> CheckFailed:
    return CheckFailed(
        expected="the ssh command line",
        got="no `ssh` on PATH",
        do="install it (Debian: apt-get install openssh-client)",
    )


def _last(told: str) -> str:
    lines = [line.strip() for line in told.splitlines() if line.strip()]
    return lines[-1] if lines else "ssh ended without a word"
