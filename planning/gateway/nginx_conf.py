"""nginx's configuration, rendered from a GatewayConfig. Pure; no secret stands in ``nginx.conf``.

The configuration reads best in ``services/gateway/*.conf``; this module fills its ``{{slots}}``. Lines that repeat for
each client or path are made here, because a template has no loops.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from planning.gateway.client_limits import client_limits, counted_limits, limited_by_model, model_limits
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
from planning.gateway.locations import (
    allowed_methods,
    api_locations,
    app_locations,
    app_upstream,
    inner_locations,
    public_locations,
)
from planning.gateway.replicas import STATE_DIR, gateway_state, outage_conf, replicas_conf
from planning.gateway.routing import (
    logged_model,
    model_lists,
    model_pages,
    outages,
    refusals,
    replica_files,
    routed_model,
    target_names,
)
from planning.hosts.names import FILES_PATH
from planning.settings.gateway import ClientSettings

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
        # Elsewhere than where a request came in $uri is another one.
        "plain_spelling": "$plain_spelling"
        if config.routed
        else '"$request_method $uri$is_args$args $server_protocol"',
        "preflight": "\n        if ($cors_preflight) { return 204; }" if config.cors_origins else "",
        # A body that is nested too deeply for PCRE would be quoted in an alert.
        "error_level": "emerg" if config.routed else "crit",
        "routed": _routed(config),
        "next_upstream": _part("next_upstream.conf", {"timeout_s": str(config.timeout_s)}),
    }
    anyway = "vllm_anyway$of_target$route" if config.routed else "vllm_anyway"
    app_servers = ""
    if config.app is not None:
        app_servers = _fill("app.conf", common | {
            "app_port": str(APP_PORT),
            "error_locations": _part("error_locations.conf", {"upstream": "app", "error_answer": error_answer}),
            "app_locations": _indent(8, app_locations(config, common["path_check"])),
            "public_locations": _indent(8, public_locations(config)),
        })  # fmt: skip
    return _fill("nginx.conf", common | {
        "workers": str(config.workers or "auto"),
        "drain_s": str(config.drain_s),
        "resolver": config.resolver,
        "header_timeout_s": str(config.header_timeout_s),
        "body_timeout_s": str(config.body_timeout_s),
        "body_mib": str(config.max_body_mib),
        "timeout_s": str(config.timeout_s),
        "body_buffer": f"{config.max_body_mib}m" if config.routed else "512k",
        "logged_path": "$logged_path" if config.routed else "$uri",
        "which_model": _indent(4, _which_model(config)),
        "outage": _indent(4, _outage(config)),
        "of_target": "$of_target" if config.routed else "",
        "vllm_upstreams": "\n".join(
            _part("upstreams.conf", {"of_model": of_model, "replicas_file": f"{STATE_DIR}/{file}"})
            for of_model, file in (replica_files(config.models) if config.routed else {"": replicas_conf()}).items()
        ),
        "metrics_dir": METRICS_DIR,
        "api_port": str(API_PORT),
        "config_dir": FILES_PATH,
        "client_keys_file": CLIENT_KEYS_CONF,
        "upstream_key_file": UPSTREAM_KEY_CONF,
        "error_locations": _part("error_locations.conf", {"upstream": anyway, "error_answer": error_answer}),
        "status_port": str(STATUS_PORT),
        "cors": _fill("cors.conf", {"origins": _indent(8, (f'"{each}" $http_origin;' for each in config.cors_origins))})
        if config.cors_origins else "",
        "client_paths": _indent(4, _client_paths(config)),
        "client_limits": _indent(4, [*client_limits(config), *model_limits(config)]),
        "retry_after": "$model_retry_after" if limited_by_model(config) else "$client_retry_after",
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
        "allowed_methods": _indent(8, allowed_methods(config)),
        "app_upstream": _indent(4, app_upstream(config)),
        "api_locations": _indent(8, api_locations(config, common["path_check"])),
        "app_servers": app_servers,
        "inner_server": _part("inner.conf", common | {
            "inner_port": str(INNER_PORT),
            "error_locations": _part("error_locations.conf", {"upstream": anyway, "error_answer": error_answer}),
            "inner_locations": _indent(8, inner_locations(config)),
        }),
    })  # fmt: skip


def gateway_files(config: GatewayConfig) -> dict[str, str]:
    """All files that aren't secret, by name."""
    scripts = {name: script(name) for name in ("start.sh", "replicas.sh", "apply.sh")}
    return {
        NGINX_CONF: render_nginx_conf(config),
        **scripts,
        **_state(config),
    }


def _state(config: GatewayConfig) -> dict[str, str]:
    if not config.routed:
        return gateway_state(config.vllm_replicas, config.retry_after_s)
    states = (gateway_state(model.replicas, config.retry_after_s, model.name) for model in config.models)
    return {name: text for state in states for name, text in state.items()}


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


def _which_model(config: GatewayConfig) -> list[str]:
    pages = model_pages(config.models, config.clients) if config.models else []
    if not config.routed:
        return [*logged_model(API_PORT), *pages]
    lists = model_lists(config.models, config.clients)
    return [
        *routed_model(config.models, config.clients, config.post_paths),
        *target_names(config.models),
        *pages,
        *lists,
    ]


def _routed(config: GatewayConfig) -> str:
    """The way of a request by its body; clients with limits for single models are counted at its end, not before."""
    if not config.routed:
        return ""
    ways = {"": {"before_body": "", "after_body": ""}}
    if limited_by_model(config):
        after = "".join(f"\n            {line}" for line in counted_limits(config))
        ways["-counted"] = {"before_body": "\n            limit_req zone=uncounted;", "after_body": after}
    return "".join("\n" + _part("routed.conf", refusals() | slots | {"way": way}) for way, slots in ways.items())


def _outage(config: GatewayConfig) -> list[str]:
    if not config.routed:
        return [f"include {STATE_DIR}/{outage_conf()};  # map ... $outage_s, written at run time"]
    return outages(config.models, config.retry_after_s)


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
