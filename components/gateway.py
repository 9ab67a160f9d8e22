"""Gateway: nginx, the only container with published ports. Listed paths pass, for clients with a key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

import pulumi
import pulumi_docker as docker

from components.certificate import Certificate
from components.command import ask, await_container
from components.config_files import ConfigFiles, ConfigFilesArgs
from components.container import FILES_PATH, hardened_container, healthcheck, label_args, labels, stable_hash
from components.gateway_metrics import GatewayMetrics, GatewayMetricsArgs
from planning.gateway import nginx_config as nginx
from planning.gateway.keys import render_client_keys, render_upstream_key
from planning.gateway.replicas import STATE_DIR
from planning.hosts.images import resolve_image
from planning.hosts.names import gateway_container
from planning.hosts.ssh import HostAddress
from planning.settings.areas import GatewaySettings

STARTUP_S = 60
MEMORY_MIB = 256  # nginx itself needs some 20; buffered bodies lie on the tmpfs, which counts too


@dataclass(frozen=True)
class GatewayDoor:
    """The container that is told which replicas are in use, and ``ready``, after which it can be."""

    container_name: str
    container_id: pulumi.Output[str]
    ready: pulumi.Resource


@dataclass(frozen=True, kw_only=True)
class GatewayArgs:
    """``app_upstream`` is host:port on the internal network; keys are client name to key."""

    prefix: str
    settings: GatewaySettings
    image: str
    network_name: pulumi.Input[str]
    app_upstream: str | None
    client_keys: Mapping[str, pulumi.Input[str]]
    upstream_key: pulumi.Input[str]
    metrics_image: str = field(default_factory=partial(resolve_image, "python"))
    tls_key: str | None = None
    docker_host: HostAddress = None

    @property
    def server_names(self) -> tuple[str, ...]:
        """What clients may call it."""
        return tuple(dict.fromkeys(["localhost", "127.0.0.1", self.settings.bind, *self.settings.server_names]))

    def nginx_config(self) -> nginx.GatewayConfig:
        """What nginx is told, secrets aside."""
        settings = self.settings
        return nginx.GatewayConfig(
            app=self.app_upstream,
            server_names=(*self.server_names, gateway_container(self.prefix)),  # the latter to another stack's app
            clients=settings.clients,
            key_expires=settings.key_expires,
            tls=settings.uses_tls,
            affinity=settings.affinity == "session",
            max_body_mib=settings.max_body_mib,
            timeout_s=settings.timeout_s,
        )


class Gateway(pulumi.ComponentResource):
    """The one door: ``api_url`` (OpenAI-compatible) and ``app_url`` (PageIndex) on the host's bind address."""

    api_url: str
    app_url: str
    certificate: Certificate
    metrics: GatewayMetrics
    container_name: str
    ready: pulumi.Output[str]
    door: GatewayDoor
    """For rollouts of the replicas behind it."""

    def __init__(self, name: str, args: GatewayArgs, opts: pulumi.ResourceOptions | None = None):
        super().__init__("pageindex-stack:index:Gateway", name, None, opts)
        settings, config = args.settings, args.nginx_config()
        image = docker.RemoteImage(
            f"{name}-image", name=args.image, keep_locally=True, opts=pulumi.ResourceOptions(parent=self)
        )
        edge = docker.Network(
            f"{name}-edge",
            name=f"{args.prefix}-edge",
            driver="bridge",
            labels=label_args(labels(args.prefix, "edge", "-")),
            opts=pulumi.ResourceOptions(parent=self, delete_before_replace=True),  # its name is fixed
        )
        certificate = Certificate(
            f"{name}-certificate",
            settings,
            args.server_names,
            args.tls_key,
            pulumi.ResourceOptions(parent=self),
        )
        contents: dict[str, pulumi.Input[str]] = {
            **nginx.gateway_files(config),
            nginx.CLIENT_KEYS_CONF: pulumi.Output.secret(
                pulumi.Output.all(**args.client_keys).apply(render_client_keys)
            ),
            nginx.UPSTREAM_KEY_CONF: pulumi.Output.secret(
                pulumi.Output.from_input(args.upstream_key).apply(render_upstream_key)
            ),
        }
        if settings.uses_tls:  # the provider takes no empty file
            contents |= {nginx.TLS_CERTIFICATE: certificate.pem, nginx.TLS_KEY: certificate.key}
        # Before anything that runs is touched, nginx itself says whether it would take them.
        accepted = ask(
            f"{name}-accepted",
            "gateway-files",
            {"image": image.image_id, "files": contents, "docker_host": args.docker_host},
            triggers=[],
            opts=pulumi.ResourceOptions(parent=self),
        )
        files = ConfigFiles(
            f"{name}-files",
            ConfigFilesArgs(prefix=args.prefix, component="gateway", image=image.image_id, files=contents),
            pulumi.ResourceOptions(parent=self, depends_on=[accepted]),
        )
        state = docker.Volume(
            f"{name}-state",
            name=f"{args.prefix}-gateway-state",  # which replicas are in use; outlives the container
            labels=label_args(labels(args.prefix, "gateway-state", "-")),
            opts=pulumi.ResourceOptions(parent=self),
        )
        lines = docker.Volume(
            f"{name}-lines",
            name=f"{args.prefix}-gateway-lines",
            driver="local",
            # In memory and bounded: if nobody reads them, nginx stops writing them and goes on serving.
            driver_opts={"type": "tmpfs", "device": "tmpfs", "o": f"size={nginx.METRICS_MIB}m,mode=1777"},
            labels=label_args(labels(args.prefix, "gateway-lines", "-")),
            opts=pulumi.ResourceOptions(parent=self),
        )
        host_name = gateway_container(args.prefix)
        wanted_ports = [settings.api_port, settings.app_port]
        ports_free = ask(
            f"{name}-ports",
            "ports",
            {
                "bind": settings.bind,
                "ports": wanted_ports,
                "gateway_container": host_name,
                "docker_host": args.docker_host,
            },
            triggers=[settings.bind, *wanted_ports],
            opts=pulumi.ResourceOptions(parent=self),
        )
        container = hardened_container(
            f"{name}-container",
            host_name=host_name,
            image=image.image_id,
            user=nginx.USER,
            networks=[{"name": args.network_name}, {"name": edge.name}],
            # Not the files': a running gateway takes up changed ones without being replaced.
            labelled=labels(args.prefix, "gateway", stable_hash(nginx.START, config.tmpfs_mib)),
            entrypoints=list(nginx.START[:1]),
            command=list(nginx.START[1:]),
            volumes=[
                {"volume_name": files.host_name, "container_path": FILES_PATH, "read_only": True},
                {"volume_name": state.name, "container_path": STATE_DIR},
                {"volume_name": lines.name, "container_path": nginx.METRICS_DIR},
            ],
            tmpfs={"/tmp": f"size={config.tmpfs_mib}m"},
            memory_mib=MEMORY_MIB + config.tmpfs_mib,
            stop_timeout=config.stop_timeout_s,
            destroy_grace_seconds=config.stop_timeout_s,
            stop_signal=nginx.STOP_SIGNAL,
            ports=[
                {"internal": nginx.API_PORT, "external": settings.api_port, "ip": settings.bind},
                {"internal": nginx.APP_PORT, "external": settings.app_port, "ip": settings.bind},
            ],
            healthcheck=healthcheck(["CMD", *nginx.HEALTH_COMMAND], startup_s=STARTUP_S),
            opts=pulumi.ResourceOptions(
                parent=self,
                delete_before_replace=True,  # one process holds the ports
                # A running gateway is not taken away for a port that can't be had, and a new one finds its files.
                depends_on=[ports_free, files],
            ),
        )
        gate = await_container(
            f"{name}-healthy",
            container,
            "healthy",
            "the gateway",
            timeout_s=STARTUP_S,
            docker_host=args.docker_host,
            opts=pulumi.ResourceOptions(parent=self),
        )
        reloaded = ask(
            f"{name}-ready",
            "gateway-reload",
            {"container": container.name, "docker_host": args.docker_host},
            triggers=[files.digest, gate.id],
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.metrics = GatewayMetrics(
            f"{name}-metrics",
            GatewayMetricsArgs(
                prefix=args.prefix,
                image=args.metrics_image,
                network_name=args.network_name,
                lines_volume=lines.name,
                state_volume=state.name,
            ),
            pulumi.ResourceOptions(parent=self),
        )
        address = "127.0.0.1" if settings.bind == "0.0.0.0" else settings.bind
        scheme = "https" if settings.uses_tls else "http"
        self.api_url = f"{scheme}://{address}:{settings.api_port}/v1"
        self.app_url = f"{scheme}://{address}:{settings.app_port}"
        self.certificate = certificate
        self.container_name = host_name
        self.ready = reloaded.id
        self.door = GatewayDoor(host_name, container.id, reloaded)
        self.register_outputs({"api_url": self.api_url, "app_url": self.app_url})
