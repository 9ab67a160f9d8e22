"""GatewayMetrics: what the gateway did, and whether a replica hangs, for a Prometheus on the internal network."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_docker as docker

from components.config_files import ConfigFiles, ConfigFilesArgs
from components.container import FILES_PATH, hardened_container, labels, stable_hash
from planning.gateway import nginx_config as nginx
from planning.gateway.replicas import STATE_DIR

MEMORY_MIB = 96
ALIAS = "gateway-metrics"


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
        files = ConfigFiles(
            f"{name}-files",
            ConfigFilesArgs(
                prefix=args.prefix,
                component="gateway-metrics",
                image=image.image_id,
                files={nginx.METRICS_SCRIPT: nginx.script(nginx.METRICS_SCRIPT)},
            ),
            pulumi.ResourceOptions(parent=self),
        )
        self.container_name = f"{args.prefix}-gateway-metrics"
        hardened_container(
            f"{name}-container",
            host_name=self.container_name,
            image=image.image_id,
            user=nginx.USER,  # who wrote the lines may remove them
            networks=[{"name": args.network_name, "aliases": [ALIAS]}],
            labelled={
                **labels(args.prefix, "gateway-metrics", stable_hash(MEMORY_MIB)),
                "pageindex-stack.files": files.digest,
            },
            entrypoints=["python", f"{FILES_PATH}/{nginx.METRICS_SCRIPT}"],
            volumes=[
                {"volume_name": files.volume_name, "container_path": FILES_PATH, "read_only": True},
                {"volume_name": args.lines_volume, "container_path": nginx.METRICS_DIR},
                {"volume_name": args.state_volume, "container_path": STATE_DIR, "read_only": True},
            ],
            memory_mib=MEMORY_MIB,
            opts=pulumi.ResourceOptions(parent=self, delete_before_replace=True),
        )
        self.url = f"http://{ALIAS}:{nginx.METRICS_PORT}/metrics"
        self.register_outputs({"url": self.url})
