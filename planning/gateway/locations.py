"""nginx's locations: one for each path that is open, and what is looked at before a request passes. Pure."""

from __future__ import annotations

import re

from planning.gateway.client_limits import limited_by_model
from planning.gateway.config import API_PORT, APP_PORT, GatewayConfig
from planning.gateway.replicas import server_line
from planning.gateway.routing import NAME

STREAM_SILENCE_S = 60  # the app's event streams give a sign of life every 15 s


def allowed_methods(config: GatewayConfig) -> list[str]:
    lines = [f'"405:{API_PORT}:{path}" GET;' for path in config.get_paths]
    lines += [f'"405:{API_PORT}:{path}" POST;' for path in config.post_paths]
    if config.app is not None:
        lines += [f'"405:{APP_PORT}:{path}" "GET, HEAD";' for path in config.public_app_paths]
        lines += [f'"~^405:{APP_PORT}:{re.escape(path)}" "GET, HEAD";'
                  for path in config.public_app_paths if _is_subtree(path)]  # fmt: skip
        lines.append(f'"~^405:{APP_PORT}:" "GET, HEAD, POST, PUT, PATCH, DELETE";')
    return lines


def app_upstream(config: GatewayConfig) -> list[str]:
    if config.app is None:
        return []
    return ["upstream app {", "    zone app 64k;", f"    {server_line(config.app)}",
            "    keepalive 32;", "    keepalive_timeout 4s;", "}"]  # fmt: skip


def api_locations(config: GatewayConfig, path_check: str) -> list[str]:
    lines = []
    for method, paths in (("GET", config.get_paths), ("POST", config.post_paths)):
        for path in paths:
            lines += [f"location = {path} {{", '    if ($client = "") { return 401; }']
            lines += [f"    {path_check.strip()}"] if path_check else []
            lines += [f"    if ($request_method != {method}) {{ return 405; }}"]
            lines += (
                ["    client_max_body_size 1;  # nginx has no smaller limit than a byte"] if method == "GET" else []
            )
            lines += [*_onward(config, method, path), "}"]
    if config.models:
        lines += [rf'location ~ "^/v1/models/(?<asked_model>{NAME})$" {{', '    if ($client = "") { return 401; }']
        lines += [f"    {path_check.strip()}"] if path_check else []
        lines += ["    if ($request_method != GET) { return 405; }", '    if ($model_page = "") { return 404; }']
        lines += ["    return 200 $model_page;", "}"]
    return lines


def _onward(config: GatewayConfig, method: str, path: str) -> list[str]:
    """To the model: this path and no other spelling of it. Several models are listed by the gateway itself."""
    if not config.routed:
        return [f"    proxy_pass http://$vllm_upstream{path};"]
    if method == "GET":
        return ["    return 200 $model_list;"]
    way = "$way" if limited_by_model(config) else ""
    return [f"    set $route {path};", f"    rewrite ^ /-body{way}/ last;"]


def inner_locations(config: GatewayConfig) -> list[str]:
    """For whoever has vLLM's own key: every path that clients have."""
    paths = [*((path, "GET") for path in config.get_paths), *((path, "POST") for path in config.post_paths)]
    return [
        f"location = {path} {{ if ($http_authorization != $vllm_authorization) {{ return 401; }} "
        f"{' '.join(line.strip() for line in _onward(config, method, path))} }}"
        for path, method in dict(paths).items()
    ]


def _is_subtree(path: str) -> bool:
    return path.endswith("/") and path != "/"


def app_locations(config: GatewayConfig, path_check: str) -> list[str]:
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


def public_locations(config: GatewayConfig) -> list[str]:
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
