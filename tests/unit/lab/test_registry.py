"""The lab's registry: told from other servers, and honest about a taken port."""

from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import paths, registry
from machine.console import StepFailed


@pytest.fixture
def other_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Something that is no registry, on the registry's port."""
    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setattr(paths, "REGISTRY", f"127.0.0.1:{server.server_port}")
    monkeypatch.setattr(paths, "RUN", tmp_path)
    monkeypatch.setattr(registry, "PID_FILE", tmp_path / "registry.pid")
    yield
    server.shutdown()
    thread.join()
    server.server_close()


def test_something_else_on_the_port_is_no_registry(other_server: None) -> None:
    assert not registry.answers()


def test_a_taken_port_is_said_with_how_to_find_out_by_whom(other_server: None) -> None:
    with pytest.raises(StepFailed, match=r"port \d+ of 127.0.0.1, the lab's registry's, is taken") as failure:
        registry.ensure()
    assert "PAGEINDEX_STACK_REGISTRY_PORT" in failure.value.mend


def test_a_closed_port_is_no_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setattr(paths, "REGISTRY", f"127.0.0.1:{free.getsockname()[1]}")
        assert not registry.answers()
