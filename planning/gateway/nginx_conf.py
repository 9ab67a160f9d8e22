"""nginx's configuration, rendered from a GatewayConfig. Pure; no secret stands in ``nginx.conf``.

The configuration reads best in ``services/gateway/*.conf``; this module fills its ``{{slots}}``. Lines that repeat for
each client or path are made here, because a template has no loops.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from planning.gateway.config import (
    API_PORT,
    APP_PORT,
    CLIENT_KEYS_CONF,
    INNER_PORT,
    METRICS_DIR,
    NGINX_CONF,
    STATUS_PORT,
    TLS_CERTIFICATE,
    TLS_KEY,
    UPSTREAM_KEY_CONF,
    GatewayConfig,
)
from planning.gateway.errors import ERRORS, error_body, error_of_status
from planning.gateway.keys import expiry_map
from planning.gateway.replicas import OUTAGE_CONF, REPLICAS_CONF, STATE_DIR, gateway_state, server_line
from planning.hosts.names import FILES_PATH
from planning.settings.gateway import ClientSettings

STREAM_SILENCE_S = 60  # the app's event streams give a sign of life every 15 s
_TEMPLATES = Path(__file__).resolve().parents[2] / "services" / "gateway"


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
        "next_upstream": _part("next_upstream.conf", {"timeout_s": str(config.timeout_s)}),
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


def _app_upstream(config: GatewayConfig) -> list[str]:
    if config.app is None:
        return []
    return ["upstream app {", "    zone app 64k;", f"    {server_line(config.app)}",
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
