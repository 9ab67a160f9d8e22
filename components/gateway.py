"""Gateway: nginx, the only container with published ports. Listed paths pass, for clients with a key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import pulumi
import pulumi_docker as docker

from components.certificate import Certificate
from components.command import ask, await_container
from components.container import label_args, labels
from components.gateway_metrics import GatewayMetrics, GatewayMetricsArgs
from components.service_container import file_contents, service_container, service_files
from planning.gateway import config as nginx
from planning.gateway.config import RoutedModel
from planning.gateway.keys import render_client_keys, render_upstream_key
from planning.hosts.images import resolve_image
from planning.hosts.names import gateway_container
from planning.hosts.ssh import HostAddress
from planning.services.gateway import (
    LINES_VOLUME,
    STARTUP_S,
    STATE_VOLUME,
    gateway_config,
    gateway_service,
    server_names,
)
from planning.services.service import FILES_VOLUME
from planning.settings.gateway import GatewaySettings


@dataclass(frozen=True)
class GatewayHandle:
    """The container that is told which replicas are in use, once ``ready`` is there; None if its id says that."""

    container_name: str
    container_id: pulumi.Output[str]
    ready: pulumi.Resource | None


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
    models: Sequence[RoutedModel] = ()
    """What is served. Of several, a request's `model` says which; without any, one that chats under names unknown."""
    docker_host: HostAddress = None


class Gateway(pulumi.ComponentResource):
    """The one door: ``api_url`` (OpenAI-compatible) and ``app_url`` (PageIndex) on the host's bind address."""

    api_url: str
    app_url: str
    certificate: Certificate
    metrics: GatewayMetrics
    container_name: str
    ready: pulumi.Output[str]
    handle: GatewayHandle
    """For rollouts of the replicas behind it."""

    def __init__(self, name: str, args: GatewayArgs, opts: pulumi.ResourceOptions | None = None):
        super().__init__("pageindex-stack:index:Gateway", name, None, opts)
        settings = args.settings
        service = gateway_service(settings, gateway_config(settings, args.prefix, args.app_upstream, args.models))
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
            server_names(settings),
            args.tls_key,
            pulumi.ResourceOptions(parent=self),
        )
        secrets: dict[str, pulumi.Input[str]] = {
            nginx.CLIENT_KEYS_CONF: pulumi.Output.secret(
                pulumi.Output.all(**args.client_keys).apply(render_client_keys)
            ),
            nginx.UPSTREAM_KEY_CONF: pulumi.Output.secret(
                pulumi.Output.from_input(args.upstream_key).apply(render_upstream_key)
            ),
        }
        if settings.uses_tls:  # the provider takes no empty file
            secrets |= {nginx.TLS_CERTIFICATE: certificate.pem, nginx.TLS_KEY: certificate.key}
        # Before anything that runs is touched, nginx itself says whether it would take them.
        accepted = ask(
            f"{name}-accepted",
            "gateway-files",
            {"image": image.image_id, "files": file_contents(service, secrets), "docker_host": args.docker_host},
            triggers=[],
            opts=pulumi.ResourceOptions(parent=self),
        )
        files = service_files(
            f"{name}-files",
            service,
            prefix=args.prefix,
            image=image.image_id,
            secrets=secrets,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[accepted]),
        )
        state = docker.Volume(
            f"{name}-state",
            name=f"{args.prefix}-{STATE_VOLUME}",
            labels=label_args(labels(args.prefix, STATE_VOLUME, "-")),
            opts=pulumi.ResourceOptions(parent=self),
        )
        lines = docker.Volume(
            f"{name}-lines",
            name=f"{args.prefix}-{LINES_VOLUME}",
            driver="local",
            # In memory and bounded: if nobody reads them, nginx stops writing them and goes on serving.
            driver_opts={"type": "tmpfs", "device": "tmpfs", "o": f"size={nginx.METRICS_MIB}m,mode=1777"},
            labels=label_args(labels(args.prefix, LINES_VOLUME, "-")),
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
                **({"networks": settings.networks} if settings.networks else {}),
            },
            triggers=[settings.bind, *wanted_ports, *settings.networks],
            opts=pulumi.ResourceOptions(parent=self),
        )
        container = service_container(
            f"{name}-container",
            service,
            prefix=args.prefix,
            host_name=host_name,
            image=image.image_id,
            networks={"internal": args.network_name, "edge": edge.name},
            mounts={
                FILES_VOLUME: {"volume_name": files.host_name},
                STATE_VOLUME: {"volume_name": state.name},
                LINES_VOLUME: {"volume_name": lines.name},
            },
            also_on=settings.networks,
            opts=pulumi.ResourceOptions(
                parent=self,
                delete_before_replace=True,  # one process holds the ports
                # A running gateway is not taken away for a port that can't be had, and a new one finds its files.
                depends_on=[ports_free, files],
            ),
        )
        healthy = await_container(
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
            triggers=[files.digest, healthy.id],
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
        self.handle = GatewayHandle(host_name, container.id, reloaded)
        self.register_outputs({"api_url": self.api_url, "app_url": self.app_url})
