"""Breaks what runs."""

from __future__ import annotations

from tests.integration.pulumi_project import docker


def kill_engine(container: str) -> None:
    """End vLLM's engine process as the out-of-memory killer would; the server then ends itself."""
    code = (
        "import os; others = [int(name) for name in os.listdir('/proc') if name.isdigit()];"
        "[os.kill(pid, 9) for pid in others if pid not in (1, os.getpid())]"
    )
    docker("exec", container, "python3", "-c", code, ok=False)  # the container may end before the command does
