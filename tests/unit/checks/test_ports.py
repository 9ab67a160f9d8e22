"""Ports are looked at before a running gateway is taken away for them."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from checks import ports as module
from host_access.outcome import CheckFailed


class FakeHost:
    def __init__(self, held: set[int]):
        self.held = held

    def published_ports(self, name: str) -> set[int]:
        return self.held


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that this test listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def facts(*wanted: int) -> dict[str, object]:
    return {"bind": "127.0.0.1", "ports": list(wanted), "gateway_container": "gateway"}


def test_a_port_of_another_program_fails_by_number(taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DockerHost", lambda address: FakeHost(set()))
    with pytest.raises(CheckFailed) as raised:
        module.ports(facts(taken))
    assert str(taken) in raised.value.got


def test_a_port_that_our_own_gateway_holds_passes(taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DockerHost", lambda address: FakeHost({taken}))
    assert module.ports(facts(taken))["ok"] is True
