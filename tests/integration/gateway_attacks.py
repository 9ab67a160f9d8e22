"""Hostile requests, byte for byte, each with the status that it must get. 200: it is harmless, and stays so."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass

from planning.gateway_config import API_PORT, APP_PORT
from tests.integration.gateway_rig import ALICE, UPSTREAM_KEY, bearer

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
    return raw(f"POST {target} HTTP/1.1", GOOD, *headers, body=body)


# Everything that vLLM would answer and that nobody may reach, with a key or without.
_SHUT_PATHS = """/ /v1 /v1/ /docs /openapi.json /metrics /version /load /ping /tokenize /detokenize /invocations
/pooling /classify /score /rerank /v1/rerank /v1/score /v1/responses /v1/realtime /v1/load_lora_adapter
/v1/audio/transcriptions /pause /resume /sleep /wake_up /is_sleeping /abort_requests /scale_elastic_ep
/update_weights /collective_rpc /reset_prefix_cache /server_info /inference/v1/generate /generative_scoring
/fault_tolerance/apply /status /favicon.ico /.git/config /nginx.conf /index.html /x.jpg
/run/pageindex-stack/gateway-clients.conf"""
SHUT_PATHS = _SHUT_PATHS.split()
PATHS = [
    *(Attack(f"shut path {path} with a key", get(path, GOOD), 404) for path in SHUT_PATHS),
    *(Attack(f"shut path {path} without", post(path), 404) for path in ("/invocations", "/pause", "/collective_rpc")),
    *(Attack(f"spelling {target}", get(target, GOOD), 404) for target in (
        "//v1/models", "/v1//models", "/v1/./models", "/x/../v1/models", "/v1/models/", "/v1/models/.",
        "/V1/models", "/v1/Models", "/v1/mode%6cs", "/v1%2fmodels", "/v1/%2e%2e/v1/models", "/%76%31/models",
        "/v1/models%20", "/v1/models;x", "/v1/models?", "/v1/models#x", "/v1/models%3f", "/v1/models%0d%0aX:1",
        "/health/../v1/models", "/health/../metrics", "/v1/models/../../metrics", "/v1/models..", "/v1\\models",
    )),
    Attack("escaped zero byte", get("/v1/models%00", GOOD), 400),
    Attack("zero byte", get("/v1/models\0", GOOD), 400),
    Attack("above the root", get("/../v1/models", GOOD), 400),
    Attack("bad escape", get("/v1/models%zz", GOOD), 400),
    Attack("no slash", get("v1/models", GOOD), 400),
    Attack("9 kB of path", get("/v1/" + "x" * 9000, GOOD), 414),
    Attack("absolute-form, own host", get("http://localhost/v1/models", GOOD), 404),
    Attack("absolute-form, foreign Host header", get("http://localhost/v1/models", GOOD, host="evil"), 404),
    Attack("absolute-form, foreign host", get("http://evil/v1/models", GOOD), 421),
    Attack("absolute-form, upstream's name", get("http://vllm-0:8000/metrics", GOOD), 421),
    Attack("absolute-form with user", get("http://localhost@evil/v1/models", GOOD), 400),
    Attack("query with a key passes without it", get(f"/v1/models?api_key={ALICE}", GOOD), 200),
]  # fmt: skip
METHODS = [
    *(Attack(f"{method} on a GET path", raw(f"{method} /v1/models HTTP/1.1", GOOD), 405)
      for method in ("OPTIONS", "POST", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND", "FOO")),
    *(Attack(f"{method} on a POST path", raw(f"{method} /v1/completions HTTP/1.1", GOOD), 405)
      for method in ("GET", "OPTIONS", "PUT", "DELETE")),
    Attack("OPTIONS without a key", raw("OPTIONS /v1/chat/completions HTTP/1.1"), 401),
    Attack("OPTIONS on a shut path", raw("OPTIONS /invocations HTTP/1.1"), 404),
    Attack("OPTIONS *", raw("OPTIONS * HTTP/1.1", GOOD), 400),
    Attack("CONNECT", raw("CONNECT vllm-0:8000 HTTP/1.1", GOOD), 405),
    Attack("lower case method", raw("get /v1/models HTTP/1.1", GOOD), 400),
    Attack("method override header", post("/v1/models", "X-HTTP-Method-Override: GET"), 405),
    Attack("HTTP/2 preface", raw("PRI * HTTP/2.0", GOOD), 400),
    Attack("HTTP/3.0 in plain text", raw("GET /v1/models HTTP/3.0", GOOD), 505),
    Attack("two spaces in the request line", raw("GET  /v1/models HTTP/1.1", GOOD), 404),
    Attack("websocket on a shut path", get("/v1/realtime", GOOD, "Upgrade: websocket"), 404),
    Attack("websocket without a key", get("/v1/models", "Upgrade: websocket", "Sec-WebSocket-Key: eA=="), 401),
    Attack("websocket is no upgrade", get("/v1/models", GOOD, "Upgrade: websocket", "Connection: Upgrade"), 200),
    Attack("h2c is no upgrade", get("/v1/models", GOOD, "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"), 200),
]  # fmt: skip
KEY_TRICKS = [
    *(Attack(f"key: {name}", get("/v1/models", *headers), 401) for name, headers in {
        "none": [],
        "empty": ["Authorization:"],
        "scheme only": ["Authorization: Bearer"],
        "upper case": [bearer(ALICE.upper())],
        "lower case": [bearer(ALICE.lower())],
        "one letter of other case": [bearer("a" + ALICE[1:])],
        "one character short": [bearer(ALICE[:-1])],
        "one character more": [bearer(ALICE + "a")],
        "prefixed": [bearer("x" + ALICE)],
        "within others": [bearer("a" * 40 + ALICE + "a" * 40)],
        "two spaces": [f"Authorization: Bearer  {ALICE}"],
        "quoted": [f'Authorization: Bearer "{ALICE}"'],
        "no scheme": [f"Authorization: {ALICE}"],
        "Basic": [f"Authorization: Basic {b64encode(f'alice:{ALICE}'.encode()).decode()}"],
        "Token": [f"Authorization: Token {ALICE}"],
        "list of two": [f"Authorization: Bearer {ALICE}, Bearer {ALICE}"],
        "regular expression": ["Authorization: Bearer .*"],
        "variable": ["Authorization: Bearer $client"],
        "4 kB": [bearer("k" * 4096)],
        "vLLM's own": [bearer(UPSTREAM_KEY)],
        "client name": [bearer("alice")],
        "two x-api-key": [f"x-api-key: {ALICE}", f"x-api-key: {ALICE}"],
        "x-api-key with scheme": [f"x-api-key: Bearer {ALICE}"],
        "x_api_key": [f"x_api_key: {ALICE}"],
        "headers that disagree": [GOOD, "x-api-key: " + "o" * 40],
        "right one second": [bearer("o" * 40), f"x-api-key: {ALICE}"],
        "comma smuggled": [f"Authorization: Bearer {ALICE},{ALICE}"],
        "cookie": [f"Cookie: api_key={ALICE}"],
        "Proxy-Authorization": [f"Proxy-Authorization: Bearer {ALICE}"],
        "X-Client": ["X-Client: alice"],
    }.items()),
    Attack("key in the query", get(f"/v1/models?api_key={ALICE}"), 401),
    Attack("key: 10 kB", get("/v1/models", bearer("k" * 10240)), 431),
    Attack("key: with a zero byte", get("/v1/models", GOOD + "\0"), 400),
    Attack("key: two Authorization headers, right first", get("/v1/models", GOOD, bearer("o" * 40)), 400),
    Attack("key: two Authorization headers, right second", get("/v1/models", bearer("o" * 40), GOOD), 400),
    Attack("key: folded header", get("/v1/models", "Authorization: Bearer", f" {ALICE}"), 400),
    Attack("40 kB of headers", get("/v1/models", GOOD, *(f"X-{n}: {'v' * 4000}" for n in range(10))), 431),
]  # fmt: skip
HOSTS = [
    *(Attack(f"Host {host}", get("/v1/models", GOOD, host=host), 421) for host in (
        "evil", "localhost.evil", "evil.localhost", "127.1", "0.0.0.0", "127.0.0.1.nip.io", "vllm-0:8000", "vllm",
        "xlocalhost", "example.com", "evil.ai.example.com", "[::2]", "evil:8080", "_",
    )),
    *(Attack(f"Host {host!r}", get("/v1/models", GOOD, host=host), 400) for host in (
        "localhost/evil", "local host", "localhost:8080:1", "localhost@evil", "localhost\0",
    )),
    Attack("empty Host", get("/v1/models", GOOD, host=""), 400),
    Attack("no Host", get("/v1/models", GOOD, host=None), 400),
    Attack("no Host, HTTP/1.0", raw("GET /v1/models HTTP/1.0", GOOD, host=None), 421),
    Attack("two Hosts", get("/v1/models", GOOD, "Host: evil"), 400),
    Attack("forwarded host", get("/v1/models", GOOD, "X-Forwarded-Host: evil", "Forwarded: host=evil"), 200),
    *(Attack(f"Host {host} is ours", get("/v1/models", GOOD, host=host), 200) for host in (
        "LOCALHOST", "localhost:8000", "127.0.0.1:3", "ai.example.com", "[::1]:8080",
    )),
]  # fmt: skip
FRAMING = [
    Attack("length and chunked", post("/v1/completions", "Content-Length: 4", "Transfer-Encoding: chunked",
                                      body="0\r\n\r\n"), 400),
    Attack("two lengths", post("/v1/completions", "Content-Length: 2", "Content-Length: 3", body="{}"), 400),
    Attack("signed length", post("/v1/completions", "Content-Length: +2", body="{}"), 400),
    Attack("negative length", post("/v1/completions", "Content-Length: -1"), 400),
    Attack("unknown coding", post("/v1/completions", "Transfer-Encoding: identity"), 501),
    Attack("broken chunk", post("/v1/completions", "Transfer-Encoding: chunked", body="zz\r\n{}\r\n0\r\n\r\n"), 400),
    Attack("space before a colon", get("/v1/models", GOOD, "Transfer-Encoding : chunked"), 400),
    Attack("length over the limit", post("/v1/completions", f"Content-Length: {MIB + 1}"), 413),
    Attack("length over 64 bits", post("/v1/completions", f"Content-Length: {2**64}"), 400),
    Attack("chunks over the limit", post("/v1/completions", "Transfer-Encoding: chunked",
                                         body=f"{MIB + 1:x}\r\n{' ' * (MIB + 1)}\r\n0\r\n\r\n"), 413),
    Attack("GET with a body", raw("GET /v1/models HTTP/1.1", GOOD, "Content-Length: 9", body="{'n': 99}"), 413),
]  # fmt: skip


def on_app(name: str, request: bytes, status: int) -> Attack:
    return Attack(f"app: {name}", request, status, APP_PORT)


APP = [
    *(on_app(f"{path} without a key", get(path), 401) for path in (
        "/api", "/api/documents", "/api/ask", "/api/events", "/api/docs", "/v1/models", "/v1/chat/completions", "/mcp",
        "/mcp/x", "/metrics",
    )),
    *(on_app(f"shut path {path} with a key", get(path, GOOD), 404) for path in (
        "/docs", "/openapi.json", "/redoc", "/static", "/index.html", "/apix", "/API/documents", "/Api", "/v1x", "/v2",
        "/mcpx", "/metricsx", "/health/", "/Health", "/health;x", "/healthz", "/ready/x", "/favicon.ico",
        "/.git/config",
    )),
    *(on_app(f"spelling {path}", get(path), 404) for path in (
        "/health/../api/documents", "/health/%2e%2e/api", "/health%2f..%2fapi", "//api", "/api//documents",
        "/api/./documents", "/api/documents/..", "/api/%5c..%5c", "/api\\documents", "/health//", "/x%2Fy",
        "/static/../api/documents", "/static/%2e%2e/api/documents", "/static//../api", "/static/..%2fapi",
    )),
    *(on_app(f"{method} with a key", raw(f"{method} /api/documents HTTP/1.1", GOOD), 405)
      for method in ("OPTIONS", "TRACE", "PROPFIND", "FOO")),
    *(on_app(f"{method} on {path}", raw(f"{method} {path} HTTP/1.1"), 405)
      for method in ("POST", "DELETE") for path in ("/", "/static/app.js", "/health")),
    on_app("absolute-form", get("http://localhost/api/documents", GOOD), 404),
    on_app("foreign Host", get("/api/documents", GOOD, host="evil"), 421),
    on_app("foreign Host for the page", get("/", host="evil"), 421),
    on_app("wrong key", get("/api/documents", bearer("o" * 40)), 401),
    on_app("websocket without a key", get("/api/ws", "Upgrade: websocket"), 401),
    on_app("body for an open page", raw("GET /health HTTP/1.1", "Content-Length: 9", body="x" * 9), 413),
    on_app("zero byte", get("/api/%00", GOOD), 400),
    on_app("the page needs no key", get("/"), 200),
    on_app("its parts need no key", get("/static/app.js"), 200),
    on_app("health needs no key", get("/health?x=//..%2f"), 200),
    on_app("somebody else's name", get("/api/documents", GOOD, "X-Client: admin", "X_Client: admin"), 200),
    on_app("a name without a key", get("/", "X-Client: admin"), 200),
]  # fmt: skip
ATTACKS = [*PATHS, *METHODS, *KEY_TRICKS, *HOSTS, *FRAMING, *APP]
