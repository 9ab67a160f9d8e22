"""An sshd of the tests' own on a free port of loopback, with a key pair and a host key that nobody else has."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from planning.hosts.ssh import SshHost
from tests.integration.pulumi_project import free_port

STARTUP_S = 20.0


class Sshd:
    """``host()`` says how to reach it. ``settings`` are lines of sshd_config."""

    def __init__(self, directory: Path, environment: dict[str, str] | None = None):
        self.directory, self.port = directory, free_port()
        self._environment = environment or {}
        self._process: subprocess.Popen[bytes] | None = None
        for name in ("host", "identity", "stranger"):
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(directory / name)]
            subprocess.run(command, check=True)
        (directory / "authorized_keys").write_text((directory / "identity.pub").read_text())
        (directory / "key-only-known-to-this-file").write_text(f"[127.0.0.1]:{self.port} {self.public('host')}\n")

    def public(self, name: str) -> str:
        return (self.directory / f"{name}.pub").read_text().strip()

    def host(self, **changes: object) -> SshHost:
        given = {
            "address": f"ssh://root@127.0.0.1:{self.port}",
            "host_key": self.public("host"),
            "identity_file": str(self.directory / "identity"),
            **changes,
        }
        return SshHost(**given)  # type: ignore[arg-type]

    def start(self, *settings: str) -> None:
        lines = [
            f"Port {self.port}",
            "ListenAddress 127.0.0.1",
            f"HostKey {self.directory}/host",
            f"AuthorizedKeysFile {self.directory}/authorized_keys",
            "PermitRootLogin prohibit-password",
            "UsePAM no",
            "StrictModes no",
            f"PidFile {self.directory}/pid",
            "LogLevel VERBOSE",
            *settings,
        ]
        if self._environment:
            pairs = " ".join(f"{name}={value}" for name, value in self._environment.items())
            lines.append(f"SetEnv {pairs}")
        (self.directory / "config").write_text("\n".join(lines) + "\n")
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd's own wish; Debian makes it when the service starts
        command = ["/usr/sbin/sshd", "-D", "-f", str(self.directory / "config"), "-E", str(self.log)]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + STARTUP_S
        while not (self.log.exists() and "Server listening" in self.log.read_text()):
            assert self._process.poll() is None, self.log.read_text() if self.log.exists() else "sshd ended"
            assert time.monotonic() < deadline, "sshd did not start"
            time.sleep(0.02)

    @property
    def log(self) -> Path:
        return self.directory / "log"

    def logins(self) -> int:
        return self.log.read_text().count("Accepted publickey")

    def sessions(self) -> list[int]:
        """Processes that serve a connection."""
        children = f"/proc/{self._process.pid}/task/{self._process.pid}/children" if self._process else ""
        return [int(pid) for pid in Path(children).read_text().split()] if children else []

    def cut(self) -> None:
        """End every connection, as a network that goes away."""
        for pid in self.sessions():
            subprocess.run(["kill", "-KILL", str(pid)], check=False)

    def stop(self) -> None:
        if self._process:
            self.cut()
            self._process.terminate()
            self._process.wait()
            self._process = None
            self.log.unlink(missing_ok=True)


def end_shared_connection(host: SshHost) -> None:
    """End the connection that outlives the commands."""
    command = host.command(["true"])
    subprocess.run([command[0], "-O", "exit", *command[1:-1]], capture_output=True, check=False)
