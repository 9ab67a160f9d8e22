"""How `make ask` and its like reach a stack: directly on this machine, through a tunnel where the host is remote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from host_access import http_client
from operate.stack_client import client_of
from planning.hosts.ssh import SshHost
from planning.settings.areas import HostSettings
from planning.stack_files import host_in

OUTPUTS = {"api_key": "k" * 40, "api_url": "http://127.0.0.1:8000/v1", "app_url": "http://127.0.0.1:3000"}
KEY_OF_NOBODY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE3Jm0kPzGc0Q0Xl2sT7b5u1dYd0q5mW0m7cQwq3H8aZ"


@pytest.fixture
def tunnels(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, int]]:
    """Where tunnels were asked to lead; none is opened."""
    asked: list[tuple[str, str, int]] = []

    class Tunnel:
        socket = "/nowhere/http"

        def __init__(self, host: SshHost, address: str, port: int):
            asked.append((host.address, address, port))

    monkeypatch.setattr(http_client, "Tunnel", Tunnel)
    return asked


def test_a_stack_on_this_machine_is_asked_directly_with_its_key(tunnels: list[Any]) -> None:
    client = client_of(OUTPUTS, HostSettings(), "app_url", 5)
    assert client.base_url == httpx.URL("http://127.0.0.1:3000")
    assert client.headers["Authorization"] == f"Bearer {'k' * 40}"
    assert tunnels == []


def test_a_stack_behind_ssh_is_asked_on_its_hosts_own_loopback(tunnels: list[Any]) -> None:
    host = HostSettings(docker="ssh://gpu@10.0.0.5", host_key=KEY_OF_NOBODY)
    client_of(OUTPUTS, host, "api_url", 5)
    assert tunnels == [("ssh://gpu@10.0.0.5", "127.0.0.1", 8000)]


def test_the_host_is_read_from_a_stack_file_whatever_else_is_in_it(tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.s.yaml"
    file.write_text(
        "config:\n  pageindex-stack:model: gpt-17\n  pageindex-stack:host: {docker: 'ssh://gpu@10.0.0.5'}\n"
    )
    assert host_in(file).docker == "ssh://gpu@10.0.0.5"
    file.write_text("config:\n  pageindex-stack:model: gpt-17\n")
    assert host_in(file) == HostSettings()
