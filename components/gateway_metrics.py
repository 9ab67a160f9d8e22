"""GatewayMetrics: what the gateway did, and whether a replica hangs, for a Prometheus on the internal network."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_docker as docker

from components.service_container import FILES_LABEL, service_container, service_files
from planning.gateway import config as nginx
from planning.hosts.names import container_of
from planning.services.gateway import LINES_VOLUME, STATE_VOLUME
from planning.services.gateway_metrics import ALIAS, gateway_metrics_service
from planning.services.service import FILES_VOLUME


@dataclass(frozen=True, kw_only=True)
class GatewayMetricsArgs:
    """``lines_volume`` is where the gateway writes a line a request, ``state_volume`` where its replicas are listed."""

    prefix: str
    image: str
    network_name: pulumi.Input[str]
    lines_volume: pulumi.Input[str]
    state_volume: pulumi.Input[str]


class GatewayMetrics(pulumi.ComponentResource):
    """Answers at ``url``, inside the internal network only."""

    url: str
    container_name: str

    def __init__(self, name: str, args: GatewayMetricsArgs, opts: pulumi.ResourceOptions | None = None):
        super().__init__("pageindex-stack:index:GatewayMetrics", name, None, opts)
        image = docker.RemoteImage(
            f"{name}-image", name=args.image, keep_locally=True, opts=pulumi.ResourceOptions(parent=self)
        )
        service = gateway_metrics_service()
        files = service_files(
            f"{name}-files",
            service,
            prefix=args.prefix,
            image=image.image_id,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.container_name = container_of(args.prefix, service.component)
        service_container(
            f"{name}-container",
            service,
            prefix=args.prefix,
            host_name=self.container_name,
            image=image.image_id,
            networks={"internal": args.network_name},
            mounts={
                FILES_VOLUME: {"volume_name": files.volume_name},
                LINES_VOLUME: {"volume_name": args.lines_volume},
                STATE_VOLUME: {"volume_name": args.state_volume},
            },
            labelled={FILES_LABEL: files.digest},
            opts=pulumi.ResourceOptions(parent=self, delete_before_replace=True),  # its name is fixed
        )
        self.url = f"http://{ALIAS}:{nginx.METRICS_PORT}/metrics"
        self.register_outputs({"url": self.url})
