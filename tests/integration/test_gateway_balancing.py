"""Two replicas behind the gateway: who gets which request, and what happens when one fails."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator

import pytest

from tests.integration.gateway_attacks import GOOD
from tests.integration.gateway_rig import CONFIG, KEYS, Backend, Gateway, bearer, docker
from tests.polling import until

pytestmark = pytest.mark.integration
CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    config = CONFIG.model_copy(update={"vllm_replicas": ("vllm-0:8000", "vllm-1:8000")})
    made = Gateway(f"gwbalance-{secrets.token_hex(3)}", config)
    try:
        made.up()
        made.add_backend("vllm-0")
        made.add_backend("vllm-1")
        until(lambda: len(set(hosts(made, 8))) == 2, "both replicas serve", 10)
        yield made
    finally:
        made.down()


@pytest.fixture
def backends(gateway: Gateway) -> list[Backend]:
    for backend in gateway.backends:
        backend.control("/forget", "POST")
    return gateway.backends


def host(gateway: Gateway, *headers: str) -> str:
    answer = gateway.post(CHAT, {}, GOOD, *headers)
    return str(answer.json["host"]) if answer.status == 200 else f"status {answer.status}"


def hosts(gateway: Gateway, count: int, *headers: str) -> list[str]:
    return [host(gateway, *headers) for _ in range(count)]


def test_a_session_stays_with_one_replica_and_sessions_are_spread_over_both(gateway, backends) -> None:
    chosen = {number: set(hosts(gateway, 4, f"X-Session-Id: doc-{number}")) for number in range(16)}
    assert all(len(each) == 1 for each in chosen.values())
    assert len({host for each in chosen.values() for host in each}) == 2


def test_the_same_session_name_of_two_clients_is_two_sessions(gateway, backends) -> None:
    def of(key: str) -> list[str]:
        answers = [gateway.post(CHAT, {}, bearer(key), f"X-Session-Id: doc-{n}") for n in range(24)]
        return [answer.json["host"] for answer in answers]

    assert of(KEYS["alice"]) != of(KEYS["gone@next"])


@pytest.mark.parametrize("name", ["", "x" * 129, "a b", "a;b", '"'])
def test_a_session_name_that_is_none_is_balanced_like_any_request(gateway, backends, name) -> None:
    assert len(set(hosts(gateway, 8, f"X-Session-Id: {name}"))) == 2


def test_the_session_header_goes_no_further(gateway, backends) -> None:
    answer = gateway.post(CHAT, {}, GOOD, "X-Session-Id: doc-1")
    assert "x-session-id" not in dict(answer.json["headers"])


def test_a_replica_that_answers_5xx_is_out_and_costs_no_request(gateway, backends) -> None:
    sick, well = backends
    for status in (500, 502, 504):
        sick.control(f"/status/{status}", "POST")
        try:
            assert [gateway.get("/v1/models", GOOD).status for _ in range(8)] == [200] * 8
            assert hosts(gateway, 20) == [well.container_id] * 20
        finally:
            sick.control("/status/0", "POST")
    assert len(sick.control("/seen")) <= 3 * 3, "out for 2 s after each failure"
    until(lambda: sick.container_id in hosts(gateway, 4), "it is used again", 10)


def test_a_full_queue_passes_and_takes_nobody_out(gateway, backends) -> None:
    """vLLM's 503 says how much it has to do, not how well it is."""
    refused = gateway.post(CHAT, {"status": 503}, GOOD)
    assert refused.status == 503
    assert sum(len(backend.control("/seen")) for backend in backends) == 1
    assert len(set(hosts(gateway, 8))) == 2


def test_a_bad_request_that_every_replica_fails_at_gets_their_answer_and_shuts_nobody_out(gateway, backends) -> None:
    for _ in range(6):
        failed = gateway.post(CHAT, {"status": 500}, GOOD)
        assert failed.status == 500
        assert "host" in failed.json, "the replica's own answer, not the gateway's"
        assert not host(gateway).startswith("status")
    assert sum(len(backend.control("/seen")) for backend in backends) <= 6 * 3, "it is not sent on and on"


def test_a_request_without_an_answer_yet_moves_on_when_its_replica_breaks_off(gateway, backends) -> None:
    first, other = backends
    session = next(
        f"X-Session-Id: b{n}" for n in range(99) if host(gateway, f"X-Session-Id: b{n}") == first.container_id
    )
    first.control("/breaking/1", "POST")
    try:
        assert host(gateway, session) == other.container_id
    finally:
        first.control("/breaking/0", "POST")
    until(lambda: host(gateway, session) == first.container_id, "the session is back", 10)


def test_a_stream_that_has_begun_is_never_sent_twice(gateway, backends) -> None:
    cut = gateway.post(CHAT, {"chunks": 3, "break_after": 1}, GOOD)
    assert (cut.status, cut.body) == (200, b"data: 0\n\n")
    assert sum(len(backend.control("/seen")) for backend in backends) == 1


def test_a_dead_replica_costs_no_request_and_is_back_within_five_seconds(gateway, backends) -> None:
    dead, other = backends
    name = dead.container_id
    session = next(f"X-Session-Id: s{n}" for n in range(99) if host(gateway, f"X-Session-Id: s{n}") == name)
    docker("kill", dead.container)
    alive = other.container_id
    assert hosts(gateway, 10) == [alive] * 10
    assert hosts(gateway, 10, session) == [alive] * 10
    docker("start", dead.container)
    until(dead.answers_anywhere, "it is well again", 15)
    well = time.monotonic()
    until(lambda: name in hosts(gateway, 4), "the replica serves again", 10)
    until(lambda: host(gateway, session) == name, "the session is back where its beginning is cached", 10)
    assert time.monotonic() - well < 5
