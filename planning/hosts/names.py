"""Names on a host that one stack's parts, and its neighbours, find each other by."""

from __future__ import annotations

PROJECT = "pageindex"
FILES_PATH = "/run/pageindex-stack"  # where a container finds the files that are delivered to it
VLLM_PORT = 8000  # of a replica, inside the internal network; never published


def prefix_of(stack: str) -> str:
    """What every name of a stack on the host starts with."""
    return f"{PROJECT}-{stack}"


def internal_network(prefix: str) -> str:
    """The isolated network."""
    return f"{prefix}-internal"


def gateway_container(prefix: str) -> str:
    """On every network that it is on; an alias such as `gateway` is found once for each network that one is on."""
    return f"{prefix}-gateway"
