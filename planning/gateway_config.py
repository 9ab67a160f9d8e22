"""What the gateway (nginx) is told: validated settings in, configuration files out. Pure; no secret in ``nginx.conf``.

The configuration reads best in ``services/gateway/*.conf``; this module fills its ``{{slots}}`` and writes the two
secret files that it includes. How a container runs it is in the constants below.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from planning.gateway_replicas import OUTAGE_CONF, REPLICAS_CONF, STATE_DIR, gateway_state

API_PORT = 8080
APP_PORT = 8081
STATUS_PORT = 8082  # listens on the container's loopback only
INNER_PORT = 8083  # the replicas, for the app; not published

STREAM_SILENCE_S = 60  # the app's event streams give a sign of life every 15 s

CONFIG_DIR = "/run/pageindex-stack"
NGINX_CONF = "nginx.conf"
CLIENT_KEYS_CONF = "gateway-clients.conf"  # secret
UPSTREAM_KEY_CONF = "gateway-upstream.conf"  # secret

# The image's own entrypoint edits files under /etc/nginx, which is read-only here and not used.
ENTRYPOINT = ("nginx",)
COMMAND = ("-e", "stderr", "-c", f"{CONFIG_DIR}/{NGINX_CONF}")
START = ("sh", f"{CONFIG_DIR}/start.sh")  # lays out the state that a new volume has not, then becomes nginx
USER = "101:0"
HEALTH_COMMAND = ("curl", "-fsS", "-o", "/dev/null", f"http://127.0.0.1:{STATUS_PORT}/health")
STOP_SIGNAL = "SIGQUIT"  # finish what runs; SIGTERM would cut streams

MIN_KEY_CHARS, MAX_KEY_CHARS = 32, 200
_KEY = re.compile(rf"[A-Za-z0-9_-]{{{MIN_KEY_CHARS},{MAX_KEY_CHARS}}}")
_CLIENT_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")  # lower case: nginx compares map keys ignoring case
_TEMPLATES = Path(__file__).resolve().parents[1] / "services" / "gateway"

ClientName = Annotated[str, StringConstraints(pattern=rf"^{_CLIENT_NAME.pattern}$")]
UrlPath = Annotated[
    str, StringConstraints(pattern=r"^/(?:[A-Za-z0-9_-][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*/?)?$")
]
RoutePath = Annotated[str, StringConstraints(pattern=r"^(?:/[A-Za-z0-9_-][A-Za-z0-9_.-]*)+$")]
Upstream = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*:[1-9][0-9]{0,4}$")]
ServerName = Annotated[
    str, StringConstraints(pattern=r"^(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])$")
]

# status: (OpenAI's error type, code, message). Messages go into nginx strings: no quote, no dollar sign, no backslash.
ERRORS: Mapping[int, tuple[str, str, str]] = {
    400: ("invalid_request_error", "bad_request", "The request is not well-formed HTTP."),
    401: ("authentication_error", "invalid_api_key",
          "No valid key. Send it as Authorization: Bearer KEY or as x-api-key: KEY."),
    403: ("permission_error", "path_not_allowed", "This key may not use this path."),
    404: ("invalid_request_error", "not_found", "There is nothing at this address."),
    405: ("invalid_request_error", "method_not_allowed", "This path does not take this method; see Allow."),
    408: ("invalid_request_error", "request_timeout", "The request did not arrive in time."),
    411: ("invalid_request_error", "length_required", "The request needs a Content-Length."),
    413: ("invalid_request_error", "request_too_large", "The body is larger than {body_mib} MiB or not wanted here."),
    414: ("invalid_request_error", "uri_too_long", "The address is too long."),
    421: ("invalid_request_error", "unknown_host",
          "The Host header names no host that this gateway serves; see gateway.server_names."),
    429: ("rate_limit_error", "rate_limit_exceeded",
          "Too many requests a minute or at once for this key. Try again after Retry-After seconds."),
    431: ("invalid_request_error", "headers_too_large", "The request headers are too large."),
    500: ("server_error", "internal_error", "The gateway failed; its log has the reason."),
    501: ("invalid_request_error", "not_implemented", "The gateway does not understand this transfer coding."),
    503: ("server_error", "service_unavailable",
          "The server behind the gateway is not there or broke off. Try again after Retry-After seconds."),
    504: ("server_error", "timeout", "The server behind the gateway did not answer within {timeout_s} s."),
    505: ("invalid_request_error", "http_version", "The gateway speaks HTTP/1.1 and HTTP/1.0."),
}  # fmt: skip


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ClientLimits(_Model):
    """What one client may do, over both ports together. An empty ``allowed_paths`` means every path."""

    requests_per_minute: int = Field(default=600, ge=1, le=60_000_000, description="All at once, if need be.")
    parallel_requests: int = Field(default=50, ge=1, le=65535)
    allowed_paths: tuple[UrlPath, ...] = Field(default=(), description="Each with everything below it.")

    @property
    def retry_after_s(self) -> int:
        """When the next request will be let through, if the minute's share is used up."""
        return math.ceil(60 / self.requests_per_minute)


class GatewayConfig(_Model):
    """Everything about the gateway that isn't secret. Clients not named in ``clients`` have ``default_limits``."""

    vllm_replicas: tuple[Upstream, ...] = Field(
        default=(), description="host:port until a rollout says otherwise; need not resolve yet."
    )
    app: Upstream | None = Field(default=None, description="host:port of the app; without one its port stays shut.")
    server_names: tuple[ServerName, ...] = Field(default=("localhost", "127.0.0.1"), min_length=1)
    default_limits: ClientLimits = ClientLimits()
    clients: Mapping[ClientName, ClientLimits] = Field(default_factory=dict)
    get_paths: tuple[RoutePath, ...] = ("/v1/models",)
    post_paths: tuple[RoutePath, ...] = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings")
    public_app_paths: tuple[UrlPath, ...] = Field(
        default=("/", "/static/", "/health", "/ready"),
        description="No key needed: the page, and whether the app is well. One that ends in / stands for all below it.",
    )
    app_paths: tuple[RoutePath, ...] = Field(
        default=("/api", "/v1", "/mcp", "/metrics"), description="Each with everything below it."
    )
    app_stream_paths: tuple[RoutePath, ...] = Field(
        default=("/api/events", "/mcp"), description="Streams that may stay silent until the app's next sign of life."
    )
    max_body_mib: int = Field(default=50, ge=1, le=4096)
    timeout_s: int = Field(default=300, ge=1, le=86400, description="Longest silence of a server behind.")
    header_timeout_s: int = Field(default=10, ge=1, le=300, description="For a client's whole header.")
    body_timeout_s: int = Field(default=15, ge=1, le=300, description="Longest silence within a client's body.")
    shutdown_s: int = Field(default=30, ge=1, le=3600, description="Time for running streams when it is stopped.")
    drain_s: int = Field(default=1800, ge=1, le=86400, description="Time for running streams after a reload.")
    retry_after_s: int = Field(default=5, ge=1, le=3600, description="What a 503 tells the client to wait.")
    workers: int | None = Field(default=None, ge=1, le=512, description="nginx processes; default: one a core.")
    resolver: str = Field(default="127.0.0.11", pattern=r"^[0-9.]+(:[0-9]+)?$", description="Docker's own DNS.")

    @model_validator(mode="after")
    def _rules_across_fields(self) -> Self:
        for field, paths in (
            ("get_paths and post_paths", (*self.get_paths, *self.post_paths)),
            ("public_app_paths and app_paths", (*self.public_app_paths, *self.app_paths)),
        ):
            if twice := sorted({path for path in paths if paths.count(path) > 1}):
                raise ValueError(f"{field}: {', '.join(twice)} is listed twice")
        if self.default_limits.allowed_paths:
            raise ValueError("default_limits.allowed_paths: name the clients that are restricted, one by one")
        if "/health" in (*self.get_paths, *self.post_paths):
            raise ValueError("get_paths, post_paths: /health is the gateway's own")
        return self

    @property
    def stop_timeout_s(self) -> int:
        """Docker's patience has to outlast nginx's own."""
        return self.shutdown_s + 5

    @property
    def tmpfs_mib(self) -> int:
        """Bodies wait on /tmp until they are complete: ten of the largest at once, and some room."""
        return 10 * self.max_body_mib + 16


def render_nginx_conf(config: GatewayConfig) -> str:
    """``nginx.conf``: the same settings give the same text, byte for byte."""
    common = {
        "listen_options": " reuseport backlog=4096",
        "unknown_host": _part("unknown_host.conf", {}),
        "server_names": " ".join(config.server_names),
        "path_check": "\n            if ($path_refused) { return 403; }" if _restricted(config) else "",
    }
    app_servers = ""
    if config.app is not None:
        app_servers = _fill("app.conf", common | {
            "app_port": str(APP_PORT),
            "error_locations": _part("error_locations.conf", {"upstream": "app"}),
            "app_locations": _indent(8, _app_locations(config, common["path_check"])),
            "public_locations": _indent(8, _public_locations(config)),
        })  # fmt: skip
    return _fill("nginx.conf", common | {
        "workers": str(config.workers or "auto"),
        "drain_s": str(config.drain_s),
        "resolver": config.resolver,
        "header_timeout_s": str(config.header_timeout_s),
        "body_timeout_s": str(config.body_timeout_s),
        "body_mib": str(config.max_body_mib),
        "timeout_s": str(config.timeout_s),
        "replicas_file": f"{STATE_DIR}/{REPLICAS_CONF}",
        "outage_file": f"{STATE_DIR}/{OUTAGE_CONF}",
        "config_dir": CONFIG_DIR,
        "client_keys_file": CLIENT_KEYS_CONF,
        "upstream_key_file": UPSTREAM_KEY_CONF,
        "api_port": str(API_PORT),
        "error_locations": _part("error_locations.conf", {"upstream": "vllm"}),
        "status_port": str(STATUS_PORT),
        "client_paths": _indent(4, _client_paths(config)),
        "client_limits": _indent(4, _client_limits(config)),
        "error_bodies": _indent(8, _error_bodies(config)),
        "error_statuses": " ".join(map(str, ERRORS)),
        "allowed_methods": _indent(8, _allowed_methods(config)),
        "app_upstream": _indent(4, _app_upstream(config)),
        "api_locations": _indent(8, _api_locations(config, common["path_check"])),
        "app_servers": app_servers,
        "inner_server": _part("inner.conf", common | {
            "inner_port": str(INNER_PORT),
            "error_locations": _part("error_locations.conf", {"upstream": "vllm"}),
            "inner_locations": _indent(8, _inner_locations(config)),
        }),
    })  # fmt: skip


def gateway_files(config: GatewayConfig) -> dict[str, str]:
    """All files that aren't secret, by name."""
    scripts = {name: (_TEMPLATES / name).read_text(encoding="utf-8") for name in ("start.sh", "replicas.sh")}
    return {
        NGINX_CONF: render_nginx_conf(config),
        **scripts,
        **gateway_state(config.vllm_replicas, config.retry_after_s),
    }


def render_client_keys(keys: Mapping[str, str | Sequence[str]]) -> str:
    """SECRET: ``gateway-clients.conf``. Client name -> key, or keys that are valid side by side during a rotation."""
    if not keys:
        raise ValueError("no client has a key, so nobody could use the gateway: give at least one client a key")
    owner: dict[str, str] = {}
    lines = ["map $credential $client {", '    default "";']
    for name, given in keys.items():
        if not _CLIENT_NAME.fullmatch(name):
            raise ValueError(f"client name {name!r}: wants 1 to 63 of a-z 0-9 _ -, starting with a letter or digit")
        client_keys = [given] if isinstance(given, str) else list(given)
        if not client_keys:
            raise ValueError(f"client {name!r} has no key")
        for key in client_keys:
            _check_key(key, f"client {name!r}")
            if key in owner:
                raise ValueError(f"clients {owner[key]!r} and {name!r} have the same key" if owner[key] != name
                                 else f"client {name!r} has the same key twice")  # fmt: skip
            owner[key] = name
            # A regular expression, because nginx compares plain map keys ignoring case.
            lines.append(f'    "~^{key}$" {name};')
    return "\n".join([*lines, "}", ""])


def render_upstream_key(key: str) -> str:
    """SECRET: ``gateway-upstream.conf``, vLLM's own key, which takes the place of the client's."""
    _check_key(key, "vLLM")
    return f'map "" $vllm_authorization {{\n    default "Bearer {key}";\n}}\n'


def _check_key(key: str, whose: str) -> None:
    """Says what is wrong without repeating the key."""
    if not MIN_KEY_CHARS <= len(key) <= MAX_KEY_CHARS:
        raise ValueError(f"the key of {whose} has {len(key)} characters, wants {MIN_KEY_CHARS} to {MAX_KEY_CHARS}")
    if not _KEY.fullmatch(key):
        position = next(i for i, char in enumerate(key, 1) if not re.fullmatch("[A-Za-z0-9_-]", char))
        raise ValueError(f"the key of {whose}: character {position} is none of A-Z a-z 0-9 _ -")


def _fill(template: str, slots: Mapping[str, str]) -> str:
    text = (_TEMPLATES / template).read_text(encoding="utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda slot: slots[slot[1]], text)


def _part(template: str, slots: Mapping[str, str]) -> str:
    """A template that stands in a line of its own in another one."""
    return _fill(template, slots).rstrip("\n")


def _indent(spaces: int, lines: Iterable[str]) -> str:
    return "\n".join(" " * spaces + line for line in lines)


def _restricted(config: GatewayConfig) -> dict[str, ClientLimits]:
    return {name: limits for name, limits in config.clients.items() if limits.allowed_paths}


def _client_paths(config: GatewayConfig) -> list[str]:
    if not (restricted := _restricted(config)):
        return []
    lines = ["# Clients that may use only some paths.", 'map "$client $uri" $path_refused {', "    default 0;"]
    for name, limits in restricted.items():
        paths = "|".join(re.escape(path.rstrip("/")) for path in limits.allowed_paths)
        lines.append(rf'    "~^{name} (?!(?:{paths})(?:/|$))" 1;')
    return [*lines, "}"]


def _client_limits(config: GatewayConfig) -> list[str]:
    """nginx's limits are constants of a zone, so clients are grouped by limit, one zone for each."""
    default = config.default_limits
    lines = ["map $client $client_retry_after {", f"    default {default.retry_after_s};"]
    lines += [f'    "{name}" {limits.retry_after_s};' for name, limits in config.clients.items()
              if limits.retry_after_s != default.retry_after_s]  # fmt: skip
    lines += ["}"]
    for field, group in (("requests_per_minute", "requests"), ("parallel_requests", "parallel")):
        default_value = getattr(default, field)
        others = {name: getattr(limits, field) for name, limits in config.clients.items()}
        others = {name: value for name, value in others.items() if value != default_value}
        for value in dict.fromkeys([default_value, *others.values()]):
            zone = f"{group}_{value}"
            lines += [f"map $client ${zone} {{"]
            if value == default_value:
                lines += ["    default $client;", *(f'    "{name}" "";' for name in others)]
            else:
                lines += ['    default "";', *(f'    "{name}" {name};' for name, v in others.items() if v == value)]
            lines += ["}"]
            if group == "requests":
                lines += [f"limit_req_zone ${zone} zone={zone}:256k rate={value}r/m;",
                          f"limit_req zone={zone} burst={value - 1} nodelay;" if value > 1
                          else f"limit_req zone={zone} nodelay;"]  # fmt: skip
            else:
                lines += [f"limit_conn_zone ${zone} zone={zone}:256k;", f"limit_conn {zone} {value};"]
    return lines


def _error_bodies(config: GatewayConfig) -> list[str]:
    lines = []
    for status, (kind, code, message) in ERRORS.items():
        message = message.format(body_mib=config.max_body_mib, timeout_s=config.timeout_s)
        body = json.dumps({"error": {"message": message, "type": kind, "param": None, "code": code}})
        lines.append(f"{status} '{body}';")
    return lines


def _allowed_methods(config: GatewayConfig) -> list[str]:
    lines = [f'"405:{API_PORT}:{path}" GET;' for path in config.get_paths]
    lines += [f'"405:{API_PORT}:{path}" POST;' for path in config.post_paths]
    if config.app is not None:
        lines += [f'"405:{APP_PORT}:{path}" "GET, HEAD";' for path in config.public_app_paths]
        lines += [f'"~^405:{APP_PORT}:{re.escape(path)}" "GET, HEAD";'
                  for path in config.public_app_paths if _is_subtree(path)]  # fmt: skip
        lines.append(f'"~^405:{APP_PORT}:" "GET, HEAD, POST, PUT, PATCH, DELETE";')
    return lines


def _server(host_port: str) -> str:
    # Out after one failure, tried again after 2 s: a replica that restarts is back at once.
    return f"server {host_port} resolve max_fails=1 fail_timeout=2s;"


def _app_upstream(config: GatewayConfig) -> list[str]:
    if config.app is None:
        return []
    return ["upstream app {", "    zone app 64k;", f"    {_server(config.app)}",
            "    keepalive 32;", "    keepalive_timeout 4s;", "}"]  # fmt: skip


def _api_locations(config: GatewayConfig, path_check: str) -> list[str]:
    lines = []
    for method, paths in (("GET", config.get_paths), ("POST", config.post_paths)):
        for path in paths:
            lines += [f"location = {path} {{", '    if ($client = "") { return 401; }']
            lines += [f"    {path_check.strip()}"] if path_check else []
            lines += [f"    if ($request_method != {method}) {{ return 405; }}"]
            lines += (
                ["    client_max_body_size 1;  # nginx has no smaller limit than a byte"] if method == "GET" else []
            )
            lines += [f"    proxy_pass http://vllm{path};", "}"]  # this path and no other spelling of it
    return lines


def _inner_locations(config: GatewayConfig) -> list[str]:
    """For whoever has vLLM's own key: every path that clients have."""
    return [
        f"location = {path} {{ if ($http_authorization != $vllm_authorization) {{ return 401; }} "
        f"proxy_pass http://vllm{path}; }}"
        for path in dict.fromkeys((*config.get_paths, *config.post_paths))
    ]


def _is_subtree(path: str) -> bool:
    return path.endswith("/") and path != "/"


def _app_locations(config: GatewayConfig, path_check: str) -> list[str]:
    """Prefixes are written as two locations, so that /api never lets /apix in."""
    inside = ['    if ($client = "") { return 401; }', *([f"    {path_check.strip()}"] if path_check else [])]
    passed = [*inside, "    proxy_pass http://app;", "}"]
    patient = [*inside, f"    proxy_read_timeout {max(config.timeout_s, STREAM_SILENCE_S)}s;", *passed[-2:]]
    lines = []
    for path in config.app_paths:
        lines += [f"location = {path} {{", *(patient if path in config.app_stream_paths else passed)]
        lines += [f"location ^~ {path}/ {{", *(patient if path in config.app_stream_paths else passed)]
    for path in config.app_stream_paths:
        if path not in config.app_paths:
            lines += [f"location = {path} {{", *patient]
    return lines


def _public_locations(config: GatewayConfig) -> list[str]:
    lines = []
    for path in config.public_app_paths:
        if _is_subtree(path):
            lines.append(f"location = {path.rstrip('/')} {{ return 404; }}  # else nginx answers it with a redirect")
        # Without a key a request is counted by its address; one with a key is not counted here.
        lines += [f"location {'^~' if _is_subtree(path) else '='} {path} {{"]
        lines += ['    if ($request_method !~ "^(?:GET|HEAD)$") { return 405; }']
        lines += ["    limit_req zone=public burst=100 nodelay;", "    client_max_body_size 1;"]
        lines += [f"    proxy_pass http://app{'' if _is_subtree(path) else path};", "}"]
    return lines
