"""The real nginx with our configuration, as 101:0 on a read-only root, before a backend that remembers everything.

This file is longer than most because its tests share one gateway, which the last one stops.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from planning.gateway import config as gw
from planning.gateway.keys import MAX_KEY_CHARS
from planning.hosts.names import FILES_PATH
from tests.integration.gateway_attacks import ATTACKS, GOOD, Attack
from tests.integration.gateway_rig import (
    ALICE,
    ALICE_NEXT,
    KEYS,
    UPSTREAM_KEY,
    Answer,
    Backend,
    Gateway,
    bearer,
    docker,
    until,
)

pytestmark = pytest.mark.integration
CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def before_backends() -> dict[str, tuple[int, dict[str, str], str]]:
    """What the gateway answered while no upstream name resolved."""
    return {}


@pytest.fixture(scope="module")
def gateway(before_backends: dict[str, tuple[int, dict[str, str], str]]) -> Iterator[Gateway]:
    made = Gateway(f"gwtest-{secrets.token_hex(3)}")
    try:
        made.up()
        for name, answer in {
            "api": made.get("/v1/models", GOOD),
            "app": made.get("/api/documents", GOOD, port=gw.APP_PORT),
            "health": made.get("/health"),
        }.items():
            before_backends[name] = (answer.status, answer.headers, answer.body.decode())
        made.serve()
        yield made
    finally:
        made.down()


@pytest.fixture
def backend(gateway: Gateway) -> Backend:
    gateway.backends[-1].control("/forget", "POST")
    return gateway.backends[-1]


def assert_openai_error(body: bytes) -> None:
    error = json.loads(body)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    assert not any(key in body.decode() for key in (ALICE, UPSTREAM_KEY))


def test_the_only_model_can_be_retrieved_by_its_names_and_no_other(gateway) -> None:
    for name in ("default", "Org/Only-1B"):
        page = gateway.get(f"/v1/models/{name}", GOOD)
        assert (page.status, page.json["id"], page.json["max_model_len"]) == (200, name, 2048)
        assert gateway.get(f"/v1/models/{name}").status == 401
    for name in ("Default", "org/only-1b", "gpt-4o", "only"):
        assert gateway.get(f"/v1/models/{name}", GOOD).status == 404


@pytest.mark.parametrize("attack", ATTACKS, ids=[attack.name[:60] for attack in ATTACKS])
def test_a_hostile_request_gets_its_status_and_goes_no_further(
    gateway: Gateway, backend: Backend, attack: Attack
) -> None:
    answer = gateway.raw(attack.request, attack.port)
    assert answer.status == attack.status, answer.body[:300]
    seen = backend.control("/seen")
    if attack.status == 200:
        assert [request["path"].partition("?")[0] for request in seen] in (
            ["/v1/models"],
            ["/"],
            ["/static/icon.svg"],
            ["/health"],
            ["/api/documents"],
        )
        assert ALICE not in json.dumps(seen)
        passed_on = {name for name, _ in seen[0]["headers"]}
        assert not passed_on & {"upgrade", "x-forwarded-host", "forwarded", "x-api-key", "x_client", "http2-settings"}
    else:
        assert seen == []
        assert answer.headers["server"] == "nginx"
        assert_openai_error(answer.body)
        assert answer.headers["content-type"] == "application/json"


def test_it_starts_before_any_upstream_exists_and_asks_clients_to_come_back(gateway, before_backends) -> None:
    for port in ("api", "app"):
        status, headers, body = before_backends[port]
        assert (status, headers["retry-after"]) == (503, "5")
        assert_openai_error(body.encode())
    assert before_backends["health"][0] == 200


def test_docker_sees_it_healthy_and_its_configuration_passes_nginx_t_with_the_longest_key(gateway) -> None:
    assert len(ALICE_NEXT) == len(UPSTREAM_KEY) == MAX_KEY_CHARS
    container = f"{gateway.name}-gateway"
    docker("exec", container, "nginx", "-t", "-e", "stderr", "-c", f"{FILES_PATH}/{gw.NGINX_CONF}")
    state = ["inspect", "-f", "{{.State.Health.Status}}", container]
    until(lambda: docker(*state) == "healthy", "healthy", 10)


@pytest.mark.parametrize("header", [
    bearer(ALICE), bearer(ALICE_NEXT), f"x-api-key: {ALICE}", f"Authorization: bearer {ALICE}",
    f"{bearer(ALICE)}\r\nx-api-key: {ALICE}",
])  # fmt: skip
def test_a_clients_key_is_taken_in_every_promised_form_and_vllm_gets_its_own(gateway, backend, header) -> None:
    answer = gateway.post(CHAT, {"n": 1}, header, "Content-Type: application/json", "X-Forwarded-For: 1.2.3.4",
                          "X-Request-Id: mine", "Cookie: a=b", "X-Client: root")  # fmt: skip
    headers = dict(answer.json["headers"])
    assert answer.json["path"] == CHAT
    assert headers == {
        "host": "vllm", "authorization": f"Bearer {UPSTREAM_KEY}", "content-type": "application/json",
        "content-length": "8", "x-request-id": answer.headers["x-request-id"],
    }  # fmt: skip
    assert len(headers["x-request-id"]) == 32


def test_the_app_gets_the_clients_name_and_never_a_key(gateway, backend) -> None:
    path = "/api/documents/a%20b/tree?page=1&q=%2F"
    headers = dict(gateway.get(path, GOOD, port=gw.APP_PORT).json["headers"])
    assert headers["x-client"] == "alice"
    assert "authorization" not in headers
    [seen] = backend.control("/seen")
    assert seen["path"] == path


def test_the_page_comes_without_a_key_as_nobody_and_with_headers_that_keep_it_to_itself(gateway, backend) -> None:
    page = gateway.get("/", "If-None-Match: x", port=gw.APP_PORT)
    assert page.status == 200
    assert page.headers["x-frame-options"] == "DENY"
    assert page.headers["referrer-policy"] == "no-referrer"
    assert page.headers["cross-origin-opener-policy"] == "same-origin"
    headers = dict(page.json["headers"])
    assert headers["if-none-match"] == "x"
    assert "x-client" not in headers
    policy = {"headers": {"Content-Security-Policy": "default-src 'self'", "Referrer-Policy": "unsafe-url",
                          "X-Content-Type-Options": "x", "Cross-Origin-Opener-Policy": "same-origin"}}  # fmt: skip
    asked = gateway.post("/api/ask", policy, GOOD, "Accept: text/event-stream", port=gw.APP_PORT)
    assert asked.headers["content-security-policy"] == "default-src 'self'"
    raw = gateway.ask("POST", "/api/ask", GOOD, body=json.dumps(policy).encode(), port=gw.APP_PORT)
    for name, value in {"cross-origin-opener-policy": "same-origin", "referrer-policy": "no-referrer",
                        "x-content-type-options": "nosniff"}.items():  # fmt: skip
        assert raw.all_headers.count((name, value)) == 1
        assert [key for key, _ in raw.all_headers].count(name) == 1, "twice it would mean nothing to a browser"
    assert dict(asked.json["headers"])["accept"] == "text/event-stream"


@pytest.mark.parametrize("path", ["/api/ask", "/api/events", "/mcp", "/v1/chat/completions"])
def test_the_apps_streams_pass_event_by_event(gateway, backend, path) -> None:
    with gateway.connect(gw.APP_PORT) as connection:
        body = b'{"chunks": 3}'
        connection.sendall(f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{GOOD}\r\nContent-Length: {len(body)}\r\n\r\n"
                           .encode() + body)  # fmt: skip
        received = b""
        for number in range(3):
            while b"data: %d\n" % number not in received:
                received += connection.recv(4096)
            backend.control("/release", "POST")


@pytest.mark.parametrize("name", ["default", "include", "colleague-0", "colleague-10", "colleague-499"])
def test_a_client_among_hundreds_is_told_apart_whatever_its_name(gateway, name) -> None:
    answer = gateway.get("/v1/models", bearer(KEYS[name]))
    assert answer.status == 200
    marker = answer.headers["x-request-id"]
    until(lambda: marker in gateway.logs(), "the request is in the log", 5)
    [line] = [json.loads(line) for line in gateway.logs().splitlines() if marker in line]
    assert (line["client"], line["key"]) == (name, name)
    assert gateway.get("/v1/models", bearer(KEYS[name].swapcase())).status == 401


def test_a_limit_holds_for_a_client_whose_name_is_a_word_of_nginx(gateway) -> None:
    key = bearer(KEYS["volatile"])
    assert [gateway.get("/v1/models", key).status for _ in range(2)] == [200, 429]


def test_a_client_stays_within_its_paths_on_both_ports(gateway) -> None:
    key = bearer(KEYS["models-only"])
    assert gateway.get("/v1/models", key).status == 200
    assert gateway.post(CHAT, {}, key).status == 403
    assert gateway.get("/api/documents/1/tree", key, port=gw.APP_PORT).status == 200
    for path in ("/api/documentsx", "/api/ask", "/metrics", "/mcp"):
        assert gateway.get(path, key, port=gw.APP_PORT).status == 403


@pytest.mark.parametrize("name", ["gone", "last-year"])
def test_a_key_is_refused_after_its_last_day_and_the_answer_says_so(gateway, backend, name) -> None:
    for port in (gw.API_PORT, gw.APP_PORT):
        refused = gateway.get("/v1/models", bearer(KEYS[name]), port=port)
        assert (refused.status, refused.json["error"]["code"]) == (401, "expired_api_key")
    assert gateway.get("/metrics", bearer(KEYS[name])).json["error"]["code"] == "not_found"
    assert backend.control("/seen") == []


def test_during_a_rotation_both_keys_are_one_client(gateway) -> None:
    keys = [bearer(ALICE), bearer(ALICE_NEXT), bearer(KEYS["gone@next"])]
    answers = [gateway.get("/api/documents", key, port=gw.APP_PORT) for key in keys]
    assert [dict(answer.json["headers"])["x-client"] for answer in answers] == ["alice", "alice", "gone"]
    ids = [answer.headers["x-request-id"] for answer in answers]
    until(lambda: ids[-1] in gateway.logs(), "the requests are in the log", 5)
    lines = [json.loads(line) for line in gateway.logs().splitlines() if line.startswith("{")]
    named = {line["request_id"]: (line["client"], line["key"]) for line in lines}
    assert [named[each] for each in ids] == [("alice", "alice"), ("alice", "alice@next"), ("gone", "gone@next")]


def test_the_seventh_request_of_a_client_with_six_a_minute_waits_as_long_as_it_is_told(gateway, backend) -> None:
    key = bearer(KEYS["sixty"])
    answers = [gateway.get("/v1/models", key) for _ in range(7)]
    assert [answer.status for answer in answers] == [200] * 6 + [429]
    assert answers[-1].headers["retry-after"] == "10"
    assert_openai_error(answers[-1].body)
    assert gateway.get("/api/documents", key, port=gw.APP_PORT).status == 429  # one account for both ports
    assert gateway.get("/v1/models", GOOD).status == 200
    assert len(backend.control("/seen")) == 7


def test_parallel_requests_of_one_client_are_bounded_and_others_are_not_held_up(gateway, backend) -> None:
    key = bearer(KEYS["narrow"])
    with ThreadPoolExecutor(2) as pool:
        held = [pool.submit(gateway.post, CHAT, {"hold": True}, key) for _ in range(2)]
        until(lambda: len(backend.control("/seen")) == 2, "two requests run", 5)
        refused = gateway.post(CHAT, {}, key)
        assert (refused.status, refused.headers["retry-after"]) == (429, "1")
        assert gateway.post(CHAT, {}, GOOD).status == 200
        for _ in held:
            backend.control("/release", "POST")
        assert [answer.result().status for answer in held] == [200, 200]
    assert gateway.post(CHAT, {}, key).status == 200


def test_a_body_at_the_limit_passes_and_one_byte_more_does_not(gateway, backend) -> None:
    limit = gateway.config.max_body_mib * 2**20
    assert gateway.ask("POST", CHAT, GOOD, body=b" " * limit).json["bytes"] == limit
    refused = gateway.ask("POST", CHAT, GOOD, body=b" " * (limit + 1))
    assert refused.status == 413
    assert "1 MiB" in refused.json["error"]["message"]


@pytest.mark.parametrize(("start", "limit_s"), [
    (b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nX-Slow: ", 2),
    (f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\n{GOOD}\r\nContent-Length: 99\r\n\r\n{{".encode(), 2),
])  # fmt: skip
def test_a_client_that_stalls_is_cut_off(gateway, backend, start, limit_s) -> None:
    with gateway.connect() as connection:
        connection.sendall(start)
        since = time.monotonic()
        with suppress(ConnectionError):  # a reset says the same
            assert connection.recv(4096) == b""
        assert limit_s - 0.5 < time.monotonic() - since < limit_s + 2
    assert backend.control("/seen") == []
    until(lambda: '"status":"408"' in gateway.logs(), "the log says why", 5)


def test_a_header_that_trickles_does_not_buy_time(gateway) -> None:
    with gateway.connect() as connection:
        connection.sendall(b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n")
        since = time.monotonic()
        connection.settimeout(0.2)
        while time.monotonic() - since < 10:
            try:
                connection.sendall(b"X-A: b\r\n")
                if connection.recv(1) == b"":
                    break
            except TimeoutError:
                continue
            except ConnectionError:
                break
        assert time.monotonic() - since < 4


def test_each_chunk_of_a_stream_arrives_before_the_next_one_is_sent(gateway, backend) -> None:
    with gateway.connect() as connection:
        body = b'{"chunks": 4}'
        connection.sendall(f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\n{GOOD}\r\nContent-Length: {len(body)}\r\n\r\n"
                           .encode() + body)  # fmt: skip
        received = b""
        for number in range(4):
            while b"data: %d\n" % number not in received:
                received += connection.recv(4096)
            assert b"data: %d\n" % (number + 1) not in received
            backend.control("/release", "POST")


def test_a_client_that_leaves_stops_the_work_behind_within_a_second(gateway, backend) -> None:
    connection = gateway.connect()
    body = b'{"chunks": 9}'
    connection.sendall(f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\n{GOOD}\r\nContent-Length: {len(body)}\r\n\r\n"
                       .encode() + body)  # fmt: skip
    assert b"200 OK" in connection.recv(4096)
    left = time.time()
    connection.close()
    until(lambda: "client_gone" in backend.control("/seen")[0], "the backend notices", 3)
    assert backend.control("/seen")[0]["client_gone"] - left < 1


def test_what_the_model_server_answers_passes_unchanged_and_an_overload_gains_a_retry_after(gateway) -> None:
    refused = gateway.post(CHAT, {"status": 422}, GOOD)
    assert (refused.status, refused.json["path"], "retry-after" in refused.headers) == (422, CHAT, False)
    overloaded = gateway.post(CHAT, {"status": 503}, GOOD)
    assert (overloaded.status, overloaded.json["path"], overloaded.headers["retry-after"]) == (503, CHAT, "5")
    own_word = gateway.post(CHAT, {"status": 503, "headers": {"Retry-After": "77"}}, GOOD)
    assert own_word.headers["retry-after"] == "77"


def test_a_model_server_cannot_send_the_gateway_elsewhere(gateway) -> None:
    answer = gateway.post(CHAT, {"headers": {"X-Accel-Redirect": "/health", "Server": "uvicorn"}}, GOOD)
    assert answer.json["path"] == CHAT
    assert answer.headers["server"] == "nginx"


def test_a_request_that_kills_its_server_is_sent_once_more_at_most(gateway, backend) -> None:
    lost = gateway.post(CHAT, {"break": True}, GOOD)
    assert (lost.status, lost.headers["retry-after"]) == (503, "5")
    assert_openai_error(lost.body)
    assert len(backend.control("/seen")) <= 2, "a kept connection that ends may have been closed before"


def test_a_request_to_the_app_that_was_sent_and_lost_is_not_sent_again(gateway, backend) -> None:
    lost = gateway.post("/api/ask", {"break": True}, GOOD, port=gw.APP_PORT)
    assert (lost.status, lost.headers["retry-after"]) == (503, "5")
    assert len(backend.control("/seen")) == 1


def test_a_post_that_was_not_sent_yet_moves_on_to_another_replica(gateway, backend) -> None:
    extra = gateway.add_backend()
    both = {backend.container_id, extra.container_id}
    until(lambda: {gateway.post(CHAT, {}, GOOD).json["host"] for _ in range(8)} == both, "both replicas serve", 5)
    docker("rm", "-f", gateway.backends.pop().container)
    answers = [gateway.post(CHAT, {}, GOOD) for _ in range(10)]
    assert [(answer.status, answer.json["host"]) for answer in answers] == [(200, backend.container_id)] * 10


def test_a_server_that_stays_silent_ends_in_504(gateway, backend) -> None:
    silent = gateway.post(CHAT, {"hold": True}, GOOD)
    assert silent.status == 504
    assert "within 6 s" in silent.json["error"]["message"]
    backend.control("/release", "POST")


def test_a_replaced_server_is_found_by_name_without_a_reload(gateway) -> None:
    old, new = gateway.backends[-1], gateway.add_backend()
    docker("rm", "-f", old.container)
    assert new.address != old.address
    until(lambda: _serves(gateway, new), "every request reaches the new container", 5)
    docker("rm", "-f", new.container)
    gone = until(lambda: _unless_served(gateway), "requests are told to come back", 5)
    assert gone.headers["retry-after"] == "5"
    gateway.get(f"/v1/models?key={ALICE}", GOOD)  # for the test of the log: an error with a key in its request line
    newest = gateway.add_backend()
    until(lambda: _serves(gateway, newest), "the third container serves", 5)


def test_the_log_names_the_client_and_never_shows_a_key(gateway) -> None:
    marker = gateway.post(f"{CHAT}?api_key={ALICE}", {}, GOOD).headers["x-request-id"]
    until(lambda: marker in gateway.logs(), "the request is in the log", 5)
    logs = gateway.logs()
    [line] = [json.loads(line) for line in logs.splitlines() if marker in line]
    assert (line["client"], line["method"], line["path"], line["status"]) == ("alice", "POST", CHAT, "200")
    for key in [ALICE, ALICE_NEXT, UPSTREAM_KEY, KEYS["sixty"], KEYS["models-only"]]:
        assert key not in logs
    for entry in logs.splitlines():
        assert not entry.startswith("{") or json.loads(entry)


def test_stopping_it_lets_a_running_stream_finish(gateway) -> None:
    """Last: it ends the shared gateway."""
    backend = gateway.backends[-1]
    with gateway.connect() as connection:
        body = b'{"chunks": 2}'
        connection.sendall(f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\n{GOOD}\r\nContent-Length: {len(body)}\r\n\r\n"
                           .encode() + body)  # fmt: skip
        received = connection.recv(4096)
        stopping = threading.Thread(
            target=docker, args=("stop", "-t", str(gateway.config.stop_timeout_s), f"{gateway.name}-gateway")
        )
        stopping.start()
        until(lambda: _refuses(gateway), "no new requests", 5)
        backend.control("/release", "POST")
        while b"\r\n0\r\n\r\n" not in received:
            piece = connection.recv(4096)
            assert piece, "the stream was cut"
            received += piece
        stopping.join(timeout=gateway.config.stop_timeout_s)
        assert not stopping.is_alive()


def _serves(gateway: Gateway, backend: Backend) -> bool:
    """Twenty requests in a row. One that was sent to an address that is no more may be asked to come back."""
    answers = [gateway.get("/v1/models", GOOD) for _ in range(20)]
    assert {answer.status for answer in answers} <= {200, 503}
    return all(answer.status == 200 and answer.json["host"] == backend.container_id for answer in answers)


def _unless_served(gateway: Gateway) -> Answer | None:
    answer = gateway.get("/v1/models", GOOD)
    assert answer.status in (200, 503)
    if answer.status == 503:
        assert_openai_error(answer.body)
        return answer
    return None


def _refuses(gateway: Gateway) -> bool:
    try:
        return gateway.get("/health").status != 200
    except OSError:
        return True
