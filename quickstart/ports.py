"""Are the host ports that the gateway will publish free? Asked before minutes of work, not after."""

from __future__ import annotations

import json
import socket
import subprocess

from machine.console import StepFailed
from machine.paths import REPOSITORY
from machine.python_env import PROGRAM
from quickstart.environment import environment


def require_free(stack: str) -> None:
    """StepFailed if somebody else listens on one of the stack's ports."""
    # In a process of the virtual environment, which has the dependencies of planning.
    read = [str(PROGRAM.python()), "-m", "planning.published_ports", stack]
    asked = subprocess.run(read, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if asked.returncode != 0:
        return  # a fault in the stack file: the preview reports it with all others
    bind, ports = json.loads(asked.stdout)
    if _our_gateway_runs(stack):
        return
    for setting, port in ports.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((bind, port))
            except OSError:
                raise StepFailed(
                    f"port {port} on {bind} is taken{_by_whom(port)}",
                    f"stop it, or use another port: "
                    f". ./env.sh && pulumi config set -s {stack} --path gateway.{setting} {port + 10000}",
                ) from None


def _our_gateway_runs(stack: str) -> bool:
    named = ["docker", "ps", "--quiet", "--filter", f"name=^pageindex-{stack}-gateway$"]
    try:
        asked = subprocess.run(named, env=environment(), capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return False
    return bool(asked.stdout.strip())


def _by_whom(port: int) -> str:
    try:
        listed = subprocess.run(
            ["ss", "-Hltnp", f"sport = :{port}"], capture_output=True, text=True, check=False
        ).stdout.split('users:(("')
    except FileNotFoundError:
        return ""
    return f" by {listed[1].split(chr(34))[0]}" if len(listed) > 1 else ""
