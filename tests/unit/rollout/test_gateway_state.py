"""The files that tell nginx which replicas are in use."""

from __future__ import annotations

import pytest

from planning.gateway.replicas import Member, parse_replicas, remembered, render_outage, render_replicas


def test_what_is_written_is_read_back() -> None:
    slots = {0: [Member("a-vllm-0-1234567:8000", up=False), Member("a-vllm-0-7654321:8000")], 1: [Member("b:8000")]}
    assert parse_replicas(render_replicas(slots)) == slots


def test_nobody_is_a_server_that_is_down_because_nginx_wants_one() -> None:
    assert render_replicas({}).startswith("server 127.0.0.1:1 down;")
    assert parse_replicas(render_replicas({})) == {}


def test_every_second_of_an_outage_has_what_is_left_of_it() -> None:
    text = render_outage(1010, 1000)
    assert "    1000 10;" in text
    assert "    1009 1;" in text
    assert "    1010 " not in text
    assert "default 5;" in text


@pytest.mark.parametrize("text", ["", "{", "[]", "null"])
def test_figures_that_were_never_written_or_are_damaged_are_none(text: str) -> None:
    assert remembered(text) == {}
