"""Two replicas behind the gateway: who gets which request, and what happens when one fails."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator

import pytest

from tests.integration.gateway_attacks import GOOD
from tests.integration.gateway_rig import CONFIG, KEYS, Backend, Gateway, bearer, docker, until

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
        until(lambda: len(set(hosts(made, 8))) == 2, 10, "both replicas serve")
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


def test_what_a_replica_answers_to_a_post_passes_once_and_a_get_moves_on_to_the_other(gateway, backends) -> None:
    for status in (500, 502, 503, 504):
        for backend in backends:
            backend.control("/forget", "POST")
        failed = gateway.post(CHAT, {"status": status}, GOOD)
        assert failed.status == status
        assert sum(len(backend.control("/seen")) for backend in backends) == 1
    sick = backends[0]
    sick.control("/sick/500", "POST")
    try:
        assert [gateway.get("/v1/models", GOOD).status for _ in range(8)] == [200] * 8
    finally:
        sick.control("/sick/0", "POST")


def test_a_dead_replica_costs_no_request_and_is_back_within_five_seconds(gateway, backends) -> None:
    dead, other = backends
    name = dead.container_id
    session = next(f"X-Session-Id: s{n}" for n in range(99) if host(gateway, f"X-Session-Id: s{n}") == name)
    docker("kill", dead.container)
    alive = other.container_id
    assert hosts(gateway, 10) == [alive] * 10
    assert hosts(gateway, 10, session) == [alive] * 10
    docker("start", dead.container)
    until(dead.answers_anywhere, 15, "it is well again")
    well = time.monotonic()
    until(lambda: name in hosts(gateway, 4), 10, "the replica serves again")
    until(lambda: host(gateway, session) == name, 10, "the session is back where its beginning is cached")
    assert time.monotonic() - well < 5
