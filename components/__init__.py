"""What runs on the host: one Pulumi component a file, each usable on its own from another program.

May import `planning` and `host_access`.
"""

from components.checks import Checks, ChecksArgs, all_results
from components.gateway import Gateway, GatewayArgs, GatewayHandle
from components.gpu_checks import CardsArgs, GpuChecks, GpuChecksArgs
from components.host_checks import HostChecks, HostChecksArgs
from components.isolated_network import IsolatedNetwork, IsolatedNetworkArgs
from components.model_cache import HostModel, HostModelArgs, ModelCache, ModelCacheArgs, Weights
from components.pageindex_app import PageIndexApp, PageIndexAppArgs
from components.secret_key import SecretKey
from components.vllm_server import VllmServer, VllmServerArgs

__all__ = [
    "CardsArgs",
    "Checks",
    "ChecksArgs",
    "Gateway",
    "GatewayArgs",
    "GatewayHandle",
    "GpuChecks",
    "GpuChecksArgs",
    "HostChecks",
    "HostChecksArgs",
    "HostModel",
    "HostModelArgs",
    "IsolatedNetwork",
    "IsolatedNetworkArgs",
    "ModelCache",
    "ModelCacheArgs",
    "PageIndexApp",
    "PageIndexAppArgs",
    "SecretKey",
    "VllmServer",
    "VllmServerArgs",
    "Weights",
    "all_results",
]
