"""What runs on the host: one Pulumi component a file, each usable on its own from another program."""

from components.checks import Checks, ChecksArgs
from components.gateway import Gateway, GatewayArgs
from components.isolated_network import IsolatedNetwork, IsolatedNetworkArgs
from components.model_cache import HostModel, ModelCache, ModelCacheArgs
from components.pageindex_app import PageIndexApp, PageIndexAppArgs
from components.secret_key import SecretKey
from components.vllm_server import VllmServer, VllmServerArgs

__all__ = [
    "Checks",
    "ChecksArgs",
    "Gateway",
    "GatewayArgs",
    "HostModel",
    "IsolatedNetwork",
    "IsolatedNetworkArgs",
    "ModelCache",
    "ModelCacheArgs",
    "PageIndexApp",
    "PageIndexAppArgs",
    "SecretKey",
    "VllmServer",
    "VllmServerArgs",
]
