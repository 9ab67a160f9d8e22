"""The ports of a remote host's loopback, reached through ssh at a socket that only this process can open."""

from __future__ import annotations

import atexit
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from host_access.commands import PAUSES_S, connection_lost, no_ssh, refuse_what_no_retry_mends
from planning.hosts.ssh import CONNECT_TIMEOUT_S, SshHost

POLL_S = 0.05


class Tunnel:
    """``socket`` leads to ``address:port`` as the host sees it, until this process ends."""

    def __init__(self, host: SshHost, address: str, port: int):
        # Of a length that a socket's path may have, and closed to other users: requests through it carry a key.
        self._directory = Path(tempfile.mkdtemp(prefix="pageindex-"))
        self.socket = str(self._directory / "http")
        self._errors = self._directory / "errors"
        self._process: subprocess.Popen[bytes] | None = None
        atexit.register(self.close)
        for pause_s in (*PAUSES_S, None):
            if self._opened(host, address, port):
                return
            refuse_what_no_retry_mends(host, self.said())
            if pause_s is None:
                raise connection_lost(host, self.said())
            time.sleep(pause_s)

    def _opened(self, host: SshHost, address: str, port: int) -> bool:
        with self._errors.open("wb") as errors:
            try:
                self._process = subprocess.Popen(
                    host.forward_command(self.socket, address, port),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=errors,
                )
            except FileNotFoundError:
                raise no_ssh() from None
        deadline = time.monotonic() + 2 * CONNECT_TIMEOUT_S
        while self._process.poll() is None and time.monotonic() < deadline:
            # There from the moment that ssh has logged in and listens. Connecting to it would open a channel.
            if Path(self.socket).exists():
                return True
            time.sleep(POLL_S)
        self._end()
        return False

    def said(self) -> str:
        """What ssh said of itself: that the host forbids forwarding, for example."""
        return self._errors.read_text(errors="replace").strip() if self._errors.exists() else ""

    def _end(self) -> None:
        if self._process is not None:
            if self._process.stdin:
                self._process.stdin.close()
            self._process.terminate()
            self._process.wait()

    def close(self) -> None:
        """End ssh and remove the socket."""
        self._end()
        shutil.rmtree(self._directory, ignore_errors=True)
        atexit.unregister(self.close)
