"""The gateway, nginx: the only service with published ports."""

from __future__ import annotations

from collections.abc import Sequence

from planning.gateway import config as nginx
from planning.gateway.nginx_conf import gateway_files
from planning.gateway.replicas import STATE_DIR
from planning.hosts.names import FILES_PATH, gateway_container
from planning.services.service import FILES_VOLUME, Health, PublishedPort, Scratch, Service, Volume
from planning.settings.gateway import GatewaySettings

STARTUP_S = 60
MEMORY_MIB = 256  # nginx itself needs some 20; buffered bodies lie on the tmpfs, which counts too
STATE_VOLUME = "gateway-state"  # which replicas are in use; outlives the container
LINES_VOLUME = "gateway-lines"  # a line a request, in memory, for the metrics


def inner_url(prefix: str) -> str:
    """Where the app asks the replicas: inside the internal network, with vLLM's own key."""
    return f"http://{gateway_container(prefix)}:{nginx.INNER_PORT}/v1"


def server_names(settings: GatewaySettings) -> tuple[str, ...]:
    """What clients may call the gateway."""
    return tuple(dict.fromkeys(["localhost", "127.0.0.1", settings.bind, *settings.server_names]))


def gateway_config(
    settings: GatewaySettings,
    prefix: str,
    app: str | None,
    models: Sequence[nginx.RoutedModel] = (),
) -> nginx.GatewayConfig:
    """What nginx is told, secrets aside. ``app`` is host:port on the internal network, None without an app.

    Paths that no task of ``models`` needs stay shut; where none are given, one that chats is served.
    """
    tasks = {model.task for model in models} or {"chat"}
    return nginx.GatewayConfig(
        app=app,
        models=tuple(models),
        post_paths=(
            *dict.fromkeys(path for task, paths in nginx.ROUTES.items() if task in tasks for path in paths),
            *(nginx.TOKENIZER_ROUTES if settings.tokenize else ()),
        ),
        server_names=(*server_names(settings), gateway_container(prefix)),  # the latter to another stack's app
        clients=settings.clients,
        key_expires=settings.key_expires,
        cors_origins=tuple(settings.cors_origins),
        tls=settings.uses_tls,
        affinity=settings.affinity == "session",
        max_body_mib=settings.max_body_mib,
        timeout_s=settings.timeout_s,
    )


def gateway_service(settings: GatewaySettings, config: nginx.GatewayConfig) -> Service:
    """The one container that clients reach; the app asks the replicas through it, too."""
    tls_files = {nginx.TLS_CERTIFICATE, nginx.TLS_KEY} if settings.uses_tls else set()
    return Service(
        component="gateway",
        user=nginx.USER,
        networks=("internal", "edge"),
        entrypoint=nginx.START[:1],
        command=nginx.START[1:],
        files=gateway_files(config),
        secret_files=frozenset({nginx.CLIENT_KEYS_CONF, nginx.UPSTREAM_KEY_CONF, *tls_files}),
        volumes=(
            Volume(name=FILES_VOLUME, path=FILES_PATH, read_only=True),
            Volume(name=STATE_VOLUME, path=STATE_DIR),
            Volume(name=LINES_VOLUME, path=nginx.METRICS_DIR),
        ),
        scratch=(Scratch(path="/tmp", size_mib=config.tmpfs_mib),),  # noqa: S108 (of the container)
        memory_mib=MEMORY_MIB + config.tmpfs_mib,
        health=Health(command=nginx.HEALTH_COMMAND, startup_s=STARTUP_S),
        stop_grace_s=config.stop_timeout_s,
        stop_signal=nginx.STOP_SIGNAL,
        ports=(
            PublishedPort(inside=nginx.API_PORT, outside=settings.api_port, address=settings.bind),
            PublishedPort(inside=nginx.APP_PORT, outside=settings.app_port, address=settings.bind),
        ),
        reached_by=("app",),
        # Not its files: a running gateway takes up changed ones without being replaced.
        identity=(nginx.START, config.tmpfs_mib),
    )
