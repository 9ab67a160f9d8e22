"""Names on a host that one stack's parts, and its neighbours, find each other by."""

from __future__ import annotations

PROJECT = "pageindex"
STABLE_ALIAS = "default"  # what one model answers to beside its own names, so that a model switch changes no client
STACK_LABEL = "pageindex-stack.stack"  # whose a container, a network or a volume is
SERVED_LABEL = "pageindex-stack.served"  # which of a stack's models a replica is of, where it has several
FILES_PATH = "/run/pageindex-stack"  # where a container finds the files that are delivered to it
VLLM_PORT = 8000  # of a replica, inside the internal network; never published


def prefix_of(stack: str) -> str:
    """What every name of a stack on the host starts with."""
    return f"{PROJECT}-{stack}"


def weights_directory(repo: str, revision: str) -> str:
    """Where a model lies in the weights volume, relative to its root, as the downloader lays it out."""
    return f"{repo.replace('/', '--')}/{revision}"


def internal_network(prefix: str) -> str:
    """The isolated network."""
    return f"{prefix}-internal"


def container_of(prefix: str, component: str) -> str:
    """The one container of a component; replicas of vLLM get names of their own."""
    return f"{prefix}-{component}"


def gateway_container(prefix: str) -> str:
    """The gateway's full name. Another stack that is joined has a gateway too, so an alias would name both."""
    return container_of(prefix, "gateway")
