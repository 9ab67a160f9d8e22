"""The gateway's metrics: a small service beside nginx that counts what nginx tells it."""

from __future__ import annotations

from planning.gateway import config as nginx
from planning.gateway.nginx_conf import script
from planning.gateway.replicas import STATE_DIR
from planning.hosts.names import FILES_PATH
from planning.services.gateway import LINES_VOLUME, STATE_VOLUME
from planning.services.service import FILES_VOLUME, Service, Volume

MEMORY_MIB = 96
ALIAS = "gateway-metrics"


def gateway_metrics_service() -> Service:
    """Reads the gateway's lines, asks the replicas, and answers a Prometheus on the internal network."""
    return Service(
        component="gateway-metrics",
        user=nginx.USER,  # who wrote the lines may remove them
        networks=("internal",),
        alias=ALIAS,
        entrypoint=("python", f"{FILES_PATH}/{nginx.METRICS_SCRIPT}"),
        files={nginx.METRICS_SCRIPT: script(nginx.METRICS_SCRIPT)},
        volumes=(
            Volume(name=FILES_VOLUME, path=FILES_PATH, read_only=True),
            Volume(name=LINES_VOLUME, path=nginx.METRICS_DIR),
            Volume(name=STATE_VOLUME, path=STATE_DIR, read_only=True),
        ),
        memory_mib=MEMORY_MIB,
        identity=(MEMORY_MIB,),
    )
