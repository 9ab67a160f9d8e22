"""Hostile requests, byte for byte, each with the status that it must get. 200: it is harmless, and stays so."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass

from planning.gateway.config import API_PORT, APP_PORT
from tests.integration.gateway_rig import ALICE, CONFIG, UPSTREAM_KEY, bearer

GOOD = bearer(ALICE)
MIB = 2**20


@dataclass(frozen=True)
class Attack:
    name: str
    request: bytes
    status: int
    port: int = API_PORT


def raw(line: str, *headers: str, host: str | None = "localhost", body: str = "") -> bytes:
    hosts = [f"Host: {host}"] if host is not None else []
    return "\r\n".join([line, *hosts, *headers, "Connection: close", "", body]).encode("latin-1")


def get(target: str, *headers: str, host: str | None = "localhost") -> bytes:
    return raw(f"GET {target} HTTP/1.1", *headers, host=host)


def post(target: str, *headers: str, body: str = "") -> bytes:
    return raw(f"POST {target} HTTP/1.1", *headers, body=body)


def on_app(name: str, request: bytes, status: int) -> Attack:
    return Attack(f"app: {name}", request, status, APP_PORT)


# Everything that vLLM would answer and that nobody may reach, with a key or without.
_SHUT_PATHS = """/ /v1 /v1/ /docs /openapi.json /metrics /version /load /ping /tokenize /detokenize /invocations
/pooling /classify /score /rerank /v1/rerank /v1/score /v1/embeddings /v1/responses/resp_1 /v1/realtime
/v1/load_lora_adapter /v1/audio/transcriptions /pause /resume /sleep /wake_up /is_sleeping /abort_requests
/scale_elastic_ep /update_weights /collective_rpc /reset_prefix_cache /server_info /inference/v1/generate
/generative_scoring /fault_tolerance/apply /status /favicon.ico /.git/config /nginx.conf /index.html /x.jpg
/run/pageindex-stack/gateway-clients.conf"""
SHUT_PATHS = _SHUT_PATHS.split()


def paths(key: str, good: str) -> list[Attack]:
    """Paths that lead nowhere, whatever their spelling."""
    return [
        *(Attack(f"shut path {path} with a key", get(path, good), 404) for path in SHUT_PATHS),
        *(Attack(f"shut path {path} without", post(path), 404)
          for path in ("/invocations", "/pause", "/collective_rpc")),
        *(Attack(f"spelling {target}", get(target, good), 404) for target in (
            "//v1/models", "/v1//models", "/v1/./models", "/x/../v1/models", "/v1/models/", "/v1/models/.",
            "/V1/models", "/v1/Models", "/v1/mode%6cs", "/v1%2fmodels", "/v1/%2e%2e/v1/models", "/%76%31/models",
            "/v1/models%20", "/v1/models;x", "/v1/models?", "/v1/models#x", "/v1/models%3f", "/v1/models%0d%0aX:1",
            "/health/../v1/models", "/health/../metrics", "/v1/models/../../metrics", "/v1/models..", "/v1\\models",
        )),
        Attack("escaped zero byte", get("/v1/models%00", good), 400),
        Attack("zero byte", get("/v1/models\0", good), 400),
        Attack("above the root", get("/../v1/models", good), 400),
        Attack("bad escape", get("/v1/models%zz", good), 400),
        Attack("no slash", get("v1/models", good), 400),
        Attack("9 kB of path", get("/v1/" + "x" * 9000, good), 414),
        Attack("absolute-form, own host", get("http://localhost/v1/models", good), 404),
        Attack("absolute-form, foreign Host header", get("http://localhost/v1/models", good, host="evil"), 404),
        Attack("absolute-form, foreign host", get("http://evil/v1/models", good), 421),
        Attack("absolute-form, upstream's name", get("http://vllm-0:8000/metrics", good), 421),
        Attack("absolute-form with user", get("http://localhost@evil/v1/models", good), 400),
        Attack("query with a key passes without it", get(f"/v1/models?api_key={key}", good), 200),
    ]  # fmt: skip


def methods(good: str) -> list[Attack]:
    """Methods, versions and upgrades."""
    return [
        *(Attack(f"{method} on a GET path", raw(f"{method} /v1/models HTTP/1.1", good), 405)
          for method in ("OPTIONS", "POST", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND", "FOO")),
        *(Attack(f"{method} on a POST path", raw(f"{method} /v1/completions HTTP/1.1", good), 405)
          for method in ("GET", "OPTIONS", "PUT", "DELETE")),
        Attack("OPTIONS without a key", raw("OPTIONS /v1/chat/completions HTTP/1.1"), 401),
        Attack("OPTIONS on a shut path", raw("OPTIONS /invocations HTTP/1.1"), 404),
        Attack("OPTIONS *", raw("OPTIONS * HTTP/1.1", good), 400),
        Attack("CONNECT", raw("CONNECT vllm-0:8000 HTTP/1.1", good), 405),
        Attack("lower case method", raw("get /v1/models HTTP/1.1", good), 400),
        Attack("method override header", post("/v1/models", good, "X-HTTP-Method-Override: GET"), 405),
        Attack("HTTP/2 preface", raw("PRI * HTTP/2.0", good), 400),
        Attack("HTTP/3.0 in plain text", raw("GET /v1/models HTTP/3.0", good), 505),
        Attack("two spaces in the request line", raw("GET  /v1/models HTTP/1.1", good), 404),
        Attack("websocket on a shut path", get("/v1/realtime", good, "Upgrade: websocket"), 404),
        Attack("websocket without a key", get("/v1/models", "Upgrade: websocket", "Sec-WebSocket-Key: eA=="), 401),
        Attack("websocket is no upgrade", get("/v1/models", good, "Upgrade: websocket", "Connection: Upgrade"), 200),
        Attack("h2c is no upgrade", get("/v1/models", good, "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"), 200),
    ]  # fmt: skip


def key_tricks(key: str, good: str, upstream_key: str) -> list[Attack]:
    """Everything that is not the key in its place."""
    return [
        *(Attack(f"key: {name}", get("/v1/models", *headers), 401) for name, headers in {
            "none": [],
            "empty": ["Authorization:"],
            "scheme only": ["Authorization: Bearer"],
            "upper case": [bearer(key.upper())],
            "lower case": [bearer(key.lower())],
            "one letter of other case": [bearer("a" + key[1:])],
            "one character short": [bearer(key[:-1])],
            "one character more": [bearer(key + "a")],
            "prefixed": [bearer("x" + key)],
            "within others": [bearer("a" * 40 + key + "a" * 40)],
            "two spaces": [f"Authorization: Bearer  {key}"],
            "quoted": [f'Authorization: Bearer "{key}"'],
            "no scheme": [f"Authorization: {key}"],
            "Basic": [f"Authorization: Basic {b64encode(f'alice:{key}'.encode()).decode()}"],
            "Token": [f"Authorization: Token {key}"],
            "list of two": [f"Authorization: Bearer {key}, Bearer {key}"],
            "regular expression": ["Authorization: Bearer .*"],
            "variable": ["Authorization: Bearer $client"],
            "4 kB": [bearer("k" * 4096)],
            "vLLM's own": [bearer(upstream_key)],
            "client name": [bearer("alice")],
            "two x-api-key": [f"x-api-key: {key}", f"x-api-key: {key}"],
            "x-api-key with scheme": [f"x-api-key: Bearer {key}"],
            "x_api_key": [f"x_api_key: {key}"],
            "headers that disagree": [good, "x-api-key: " + "o" * 40],
            "right one second": [bearer("o" * 40), f"x-api-key: {key}"],
            "comma smuggled": [f"Authorization: Bearer {key},{key}"],
            "cookie": [f"Cookie: api_key={key}"],
            "Proxy-Authorization": [f"Proxy-Authorization: Bearer {key}"],
            "X-Client": ["X-Client: alice"],
        }.items()),
        Attack("key in the query", get(f"/v1/models?api_key={key}"), 401),
        Attack("key: 10 kB", get("/v1/models", bearer("k" * 10240)), 431),
        Attack("key: with a zero byte", get("/v1/models", good + "\0"), 400),
        Attack("key: two Authorization headers, right first", get("/v1/models", good, bearer("o" * 40)), 400),
        Attack("key: two Authorization headers, right second", get("/v1/models", bearer("o" * 40), good), 400),
        Attack("key: folded header", get("/v1/models", "Authorization: Bearer", f" {key}"), 400),
        Attack("40 kB of headers", get("/v1/models", good, *(f"X-{n}: {'v' * 4000}" for n in range(10))), 431),
    ]  # fmt: skip


def hosts(good: str, names: Sequence[str]) -> list[Attack]:
    """Host headers; ``names`` are those that are served beside localhost."""
    return [
        *(Attack(f"Host {host}", get("/v1/models", good, host=host), 421) for host in (
            "evil", "localhost.evil", "evil.localhost", "127.1", "0.0.0.0", "127.0.0.1.nip.io", "vllm-0:8000", "vllm",
            "xlocalhost", "example.com", "evil.ai.example.com", "[::2]", "evil:8080", "_",
        )),
        *(Attack(f"Host {host!r}", get("/v1/models", good, host=host), 400) for host in (
            "localhost/evil", "local host", "localhost:8080:1", "localhost@evil", "localhost\0",
        )),
        Attack("empty Host", get("/v1/models", good, host=""), 400),
        Attack("no Host", get("/v1/models", good, host=None), 400),
        Attack("no Host, HTTP/1.0", raw("GET /v1/models HTTP/1.0", good, host=None), 421),
        Attack("two Hosts", get("/v1/models", good, "Host: evil"), 400),
        Attack("forwarded host", get("/v1/models", good, "X-Forwarded-Host: evil", "Forwarded: host=evil"), 200),
        *(Attack(f"Host {host} is ours", get("/v1/models", good, host=host), 200) for host in (
            "LOCALHOST", "localhost:8000", "127.0.0.1:3", *names,
        )),
    ]  # fmt: skip


def framing(good: str, body_mib: int) -> list[Attack]:
    """Bodies whose length is a lie, and those that are too long."""
    return [
        Attack("length and chunked", post("/v1/completions", good, "Content-Length: 4", "Transfer-Encoding: chunked",
                                          body="0\r\n\r\n"), 400),
        Attack("two lengths", post("/v1/completions", good, "Content-Length: 2", "Content-Length: 3", body="{}"), 400),
        Attack("signed length", post("/v1/completions", good, "Content-Length: +2", body="{}"), 400),
        Attack("negative length", post("/v1/completions", good, "Content-Length: -1"), 400),
        Attack("unknown coding", post("/v1/completions", good, "Transfer-Encoding: identity"), 501),
        Attack("broken chunk", post("/v1/completions", good, "Transfer-Encoding: chunked",
                                    body="zz\r\n{}\r\n0\r\n\r\n"), 400),
        Attack("space before a colon", get("/v1/models", good, "Transfer-Encoding : chunked"), 400),
        Attack("length over the limit", post("/v1/completions", good, f"Content-Length: {body_mib * MIB + 1}"), 413),
        Attack("length over 64 bits", post("/v1/completions", good, f"Content-Length: {2**64}"), 400),
        Attack("chunks over the limit", post("/v1/completions", good, "Transfer-Encoding: chunked",
                                             body=f"{body_mib * MIB + 1:x}\r\n "), 413),
        Attack("GET with a body", raw("GET /v1/models HTTP/1.1", good, "Content-Length: 9", body="{'n': 99}"), 413),
    ]  # fmt: skip


def app(key: str, good: str) -> list[Attack]:
    """The same at the port of the app."""
    return [
        *(on_app(f"{path} without a key", get(path), 401) for path in (
            "/api", "/api/documents", "/api/ask", "/api/events", "/api/docs", "/v1/models", "/v1/chat/completions",
            "/mcp", "/mcp/x", "/metrics",
        )),
        *(on_app(f"shut path {path} with a key", get(path, good), 404) for path in (
            "/docs", "/openapi.json", "/redoc", "/static", "/index.html", "/apix", "/API/documents", "/Api", "/v1x",
            "/v2", "/mcpx", "/metricsx", "/health/", "/Health", "/health;x", "/healthz", "/ready/x", "/favicon.ico",
            "/.git/config",
        )),
        *(on_app(f"spelling {path}", get(path), 404) for path in (
            "/health/../api/documents", "/health/%2e%2e/api", "/health%2f..%2fapi", "//api", "/api//documents",
            "/api/./documents", "/api/documents/..", "/api/%5c..%5c", "/api\\documents", "/health//", "/x%2Fy",
            "/static/../api/documents", "/static/%2e%2e/api/documents", "/static//../api", "/static/..%2fapi",
        )),
        *(on_app(f"{method} with a key", raw(f"{method} /api/documents HTTP/1.1", good), 405)
          for method in ("OPTIONS", "TRACE", "PROPFIND", "FOO")),
        *(on_app(f"{method} on {path}", raw(f"{method} {path} HTTP/1.1"), 405)
          for method in ("POST", "DELETE") for path in ("/", "/static/icon.svg", "/health")),
        on_app("absolute-form", get("http://localhost/api/documents", good), 404),
        on_app("foreign Host", get("/api/documents", good, host="evil"), 421),
        on_app("foreign Host for the page", get("/", host="evil"), 421),
        on_app("wrong key", get("/api/documents", bearer("o" * 40)), 401),
        on_app("websocket without a key", get("/api/ws", "Upgrade: websocket"), 401),
        on_app("body for an open page", raw("GET /health HTTP/1.1", "Content-Length: 9", body="x" * 9), 413),
        on_app("zero byte", get("/api/%00", good), 400),
        on_app("the page needs no key", get("/"), 200),
        on_app("its parts need no key", get("/static/icon.svg"), 200),
        on_app("health needs no key", get("/health?x=//..%2f"), 200),
        on_app("somebody else's name", get("/api/documents", good, "X-Client: admin", "X_Client: admin"), 200),
        on_app("a name without a key", get("/", "X-Client: admin"), 200),
    ]  # fmt: skip


def attacks(key: str, upstream_key: str, body_mib: int, names: Sequence[str] = ()) -> list[Attack]:
    """All of them, against a gateway where ``key`` is good."""
    good = bearer(key)
    return [
        *paths(key, good), *methods(good), *key_tricks(key, good, upstream_key), *hosts(good, names),
        *framing(good, body_mib), *app(key, good),
    ]  # fmt: skip


ATTACKS = attacks(ALICE, UPSTREAM_KEY, CONFIG.max_body_mib, ("ai.example.com", "[::1]:8080"))
