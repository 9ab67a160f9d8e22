"""What the gateway (nginx) is told: validated settings in, configuration files out. Pure; no secret in ``nginx.conf``.

The configuration reads best in ``services/gateway/*.conf``; this module fills its ``{{slots}}`` and writes the two
secret files that it includes. How a container runs it is in the constants below.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from planning.gateway.errors import ERRORS, error_body, error_of_status
from planning.gateway.keys import expiry_map
from planning.gateway.replicas import OUTAGE_CONF, REPLICAS_CONF, STATE_DIR, gateway_state
from planning.hosts.names import FILES_PATH
from planning.settings.gateway import ClientName, ClientSettings, Day, KeyName, UrlPath

API_PORT = 8080
APP_PORT = 8081
STATUS_PORT = 8082  # listens on the container's loopback only
INNER_PORT = 8083  # the replicas, for the app; not published

METRICS_PORT = 9145  # of a container beside nginx, on the internal network
METRICS_DIR = "/run/pageindex-metrics"  # where nginx writes a line a request for it, in memory
METRICS_SCRIPT = "metrics.py"
METRICS_MIB = 16

STREAM_SILENCE_S = 60  # the app's event streams give a sign of life every 15 s

NGINX_CONF = "nginx.conf"
CLIENT_KEYS_CONF = "gateway-clients.conf"  # secret
UPSTREAM_KEY_CONF = "gateway-upstream.conf"  # secret
TLS_CERTIFICATE, TLS_KEY = "tls.crt", "tls.key"  # the latter secret; unused without TLS

# The image's own entrypoint edits files under /etc/nginx, which is read-only here and not used.
START = ("sh", f"{FILES_PATH}/start.sh")  # lays out the state that a new volume has not, then becomes nginx
USER = "101:0"
HEALTH_COMMAND = ("curl", "-fsS", "-o", "/dev/null", f"http://127.0.0.1:{STATUS_PORT}/health")
STOP_SIGNAL = "SIGQUIT"  # finish what runs; SIGTERM would cut streams

_TEMPLATES = Path(__file__).resolve().parents[2] / "services" / "gateway"

RoutePath = Annotated[str, StringConstraints(pattern=r"^(?:/[A-Za-z0-9_-][A-Za-z0-9_.-]*)+$")]
Upstream = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*:[1-9][0-9]{0,4}$")]
ServerName = Annotated[
    str, StringConstraints(pattern=r"^(?:[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])$")
]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class GatewayConfig(_Model):
    """Everything about the gateway that isn't secret. Clients not named in ``clients`` have ``default_limits``."""

    vllm_replicas: tuple[Upstream, ...] = Field(
        default=(), description="host:port until a rollout says otherwise; need not resolve yet."
    )
    app: Upstream | None = Field(default=None, description="host:port of the app; without one its port stays shut.")
    server_names: tuple[ServerName, ...] = Field(default=("localhost", "127.0.0.1"), min_length=1)
    default_limits: ClientSettings = ClientSettings()
    clients: Mapping[ClientName, ClientSettings] = Field(default_factory=dict)
    key_expires: Mapping[KeyName, Day] = Field(default_factory=dict, description="Last day of one key, in UTC.")
    tls: bool = Field(default=False, description="Whether both published ports speak HTTPS.")
    affinity: bool = Field(default=True, description="Whether X-Session-Id decides on the replica.")
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
    error_answer = _part("error_answer.conf", {})
    common = {
        "listen_options": " reuseport backlog=4096",
        "tls": " ssl" if config.tls else "",
        "plain_http": _part("plain_http.conf", {"refusal": error_body("https_required")}) if config.tls else "",
        "unknown_host": _part("unknown_host.conf", {"error_answer": error_answer}),
        "server_names": " ".join(config.server_names),
        "path_check": "\n            if ($path_refused) { return 403; }" if _restricted(config) else "",
        "moving_on": _part("moving_on.conf", {"timeout_s": str(config.timeout_s)}),
    }
    app_servers = ""
    if config.app is not None:
        app_servers = _fill("app.conf", common | {
            "app_port": str(APP_PORT),
            "error_locations": _part("error_locations.conf", {"upstream": "app", "error_answer": error_answer}),
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
        "metrics_dir": METRICS_DIR,
        "api_port": str(API_PORT),
        "config_dir": FILES_PATH,
        "client_keys_file": CLIENT_KEYS_CONF,
        "upstream_key_file": UPSTREAM_KEY_CONF,
        "error_locations": _part("error_locations.conf", {"upstream": "vllm_anyway", "error_answer": error_answer}),
        "status_port": str(STATUS_PORT),
        "client_paths": _indent(4, _client_paths(config)),
        "client_limits": _indent(4, _client_limits(config)),
        "key_expiry": _indent(4, _key_expiry(config)),
        "tls_settings": _part("tls.conf", {
            "certificate": f"{FILES_PATH}/{TLS_CERTIFICATE}", "key": f"{FILES_PATH}/{TLS_KEY}",
        }) if config.tls else "",
        "session": "$http_x_session_id" if config.affinity else '""',
        "error_bodies": _indent(8, (
            f"{status} '{body}';" for status, body in
            error_of_status(body_mib=config.max_body_mib, timeout_s=config.timeout_s).items()
        )),
        "expired": error_body("expired_api_key"),
        "error_statuses": " ".join(map(str, ERRORS)),
        "allowed_methods": _indent(8, _allowed_methods(config)),
        "app_upstream": _indent(4, _app_upstream(config)),
        "api_locations": _indent(8, _api_locations(config, common["path_check"])),
        "app_servers": app_servers,
        "inner_server": _part("inner.conf", common | {
            "inner_port": str(INNER_PORT),
            "error_locations": _part("error_locations.conf", {"upstream": "vllm_anyway", "error_answer": error_answer}),
            "inner_locations": _indent(8, _inner_locations(config)),
        }),
    })  # fmt: skip


def gateway_files(config: GatewayConfig) -> dict[str, str]:
    """All files that aren't secret, by name."""
    scripts = {name: script(name) for name in ("start.sh", "replicas.sh", "apply.sh")}
    return {
        NGINX_CONF: render_nginx_conf(config),
        **scripts,
        **gateway_state(config.vllm_replicas, config.retry_after_s),
    }


def script(name: str) -> str:
    """A file that is delivered as it is."""
    return (_TEMPLATES / name).read_text(encoding="utf-8")


def _fill(template: str, slots: Mapping[str, str]) -> str:
    text = (_TEMPLATES / template).read_text(encoding="utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda slot: slots[slot[1]], text)


def _part(template: str, slots: Mapping[str, str]) -> str:
    """A template that stands in a line of its own in another one."""
    return _fill(template, slots).rstrip("\n")


def _indent(spaces: int, lines: Iterable[str]) -> str:
    return "\n".join(" " * spaces + line for line in lines)


def _key_expiry(config: GatewayConfig) -> list[str]:
    clients = {name: limits.expires for name, limits in config.clients.items() if limits.expires}
    if not (clients or config.key_expires):
        return ['map "" $expired_key { default ""; }  # no key has a last day']
    return expiry_map(clients, config.key_expires)


def _restricted(config: GatewayConfig) -> dict[str, ClientSettings]:
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
    lines += [f"    {_of_client(name)} {limits.retry_after_s};" for name, limits in config.clients.items()
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
                lines += ["    default $client;", *(f'    {_of_client(name)} "";' for name in others)]
            else:
                lines += [
                    '    default "";',
                    *(f"    {_of_client(name)} {name};" for name, v in others.items() if v == value),
                ]
            lines += ["}"]
            if group == "requests":
                lines += [f"limit_req_zone ${zone} zone={zone}:256k rate={value}r/m;",
                          f"limit_req zone={zone} burst={value - 1} nodelay;" if value > 1
                          else f"limit_req zone={zone} nodelay;"]  # fmt: skip
            else:
                lines += [f"limit_conn_zone ${zone} zone={zone}:256k;", f"limit_conn {zone} {value};"]
    return lines


def _of_client(name: str) -> str:
    """A map's key. A backslash makes a mere name of a word that is nginx's own there."""
    return rf"\{name}" if name in ("default", "hostnames", "include", "volatile") else name


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
            lines += [f"    proxy_pass http://$vllm_upstream{path};", "}"]  # this path and no other spelling of it
    return lines


def _inner_locations(config: GatewayConfig) -> list[str]:
    """For whoever has vLLM's own key: every path that clients have."""
    return [
        f"location = {path} {{ if ($http_authorization != $vllm_authorization) {{ return 401; }} "
        f"proxy_pass http://$vllm_upstream{path}; }}"
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
