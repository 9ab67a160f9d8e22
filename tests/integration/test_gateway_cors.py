"""Scripts of web pages elsewhere: those of listed origins may call with a key, all others are told nothing."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from planning.gateway import config as gw
from tests.integration.gateway_attacks import GOOD
from tests.integration.gateway_rig import CONFIG, Answer, Gateway

pytestmark = pytest.mark.integration
CHAT, PAGE = "/v1/chat/completions", "https://notes.example.com"
WANTS = ("Access-Control-Request-Method: POST", "Access-Control-Request-Headers: authorization,content-type")


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    origins = (PAGE, "http://localhost:5173")
    made = Gateway(f"gwcors-{secrets.token_hex(3)}", CONFIG.model_copy(update={"cors_origins": origins}))
    try:
        made.up()
        made.serve()
        yield made
    finally:
        made.down()


def allowed(answer: Answer) -> str | None:
    return answer.headers.get("access-control-allow-origin")


@pytest.mark.parametrize(("port", "path"), [(gw.API_PORT, CHAT), (gw.APP_PORT, "/api/ask")])
def test_a_browser_may_ask_without_a_key_whether_a_listed_page_may_call(gateway: Gateway, port: int, path: str) -> None:
    for backend in gateway.backends:
        backend.control("/forget", "POST")
    asked = gateway.ask("OPTIONS", path, f"Origin: {PAGE}", *WANTS, port=port)
    assert (asked.status, allowed(asked)) == (204, PAGE)
    assert "Authorization" in asked.headers["access-control-allow-headers"]
    assert "POST" in asked.headers["access-control-allow-methods"]
    assert [backend.control("/seen") for backend in gateway.backends] == [[]], "nobody behind is asked"


@pytest.mark.parametrize("status", [200, 401, 404])
def test_a_listed_page_can_read_answers_and_refusals(gateway: Gateway, status: int) -> None:
    headers = [f"Origin: {PAGE}", *([] if status == 401 else [GOOD])]
    answer = gateway.ask("POST", "/nowhere" if status == 404 else CHAT, *headers, body=b"{}")
    assert (answer.status, allowed(answer)) == (status, PAGE)
    assert "Retry-After" in answer.headers["access-control-expose-headers"]
    assert [value for name, value in answer.all_headers if name == "access-control-allow-origin"] == [PAGE]
    assert "access-control-allow-credentials" not in answer.headers, "cookies mean nothing here"


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example.com", "http://notes.example.com", "https://notes.example.com:444", "null",
        "https://notes.example.com.evil.example", "https://evil-notes.example.com", f"{PAGE} {PAGE}", f"{PAGE}/", "",
    ],
)  # fmt: skip
def test_any_other_page_is_refused_as_if_there_were_no_list(gateway: Gateway, origin: str) -> None:
    asked = gateway.ask("OPTIONS", CHAT, f"Origin: {origin}", *WANTS)
    assert (asked.status, allowed(asked)) == (401, None)
    answer = gateway.ask("POST", CHAT, f"Origin: {origin}", GOOD, body=b"{}")
    assert (answer.status, allowed(answer)) == (200, None), "a program that is no browser may call"


def test_a_listed_origin_opens_no_path_and_no_method_and_needs_a_key_like_anybody(gateway: Gateway) -> None:
    assert gateway.ask("POST", CHAT, f"Origin: {PAGE}", body=b"{}").status == 401
    assert gateway.ask("POST", "/invocations", f"Origin: {PAGE}", GOOD, body=b"{}").status == 404
    assert gateway.ask("OPTIONS", CHAT, f"Origin: {PAGE}", GOOD).status == 405, "no preflight: it names no method"
    assert gateway.ask("OPTIONS", CHAT, f"Origin: {PAGE}", "Access-Control-Request-Method: TRACE").status == 401
