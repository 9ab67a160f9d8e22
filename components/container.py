"""The hardened defaults that all of our containers share, and the labels by which leftovers are recognised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

import pulumi
import pulumi_docker as docker

from planning.hosts.names import STACK_LABEL
from planning.services.service import LogLimits, stable_hash

LOGS = LogLimits()


class Healthcheck(TypedDict):
    """A health check that looks often while a container starts and seldom afterwards."""

    tests: list[str]
    interval: str
    timeout: str
    retries: int
    start_period: str
    start_interval: str


def healthcheck(tests: list[str], *, startup_s: int, timeout_s: int = 5, interval_s: int = 10) -> Healthcheck:
    """Look every second until ``startup_s`` have passed or the check has passed once, then every ``interval_s``."""
    return {
        "tests": tests,
        "interval": f"{interval_s}s",
        "timeout": f"{timeout_s}s",
        "retries": 3,
        "start_period": _as_docker_reads_it_back(startup_s),
        "start_interval": "1s",
    }


def _as_docker_reads_it_back(seconds: int) -> str:
    """Go's own form of a duration; any other form is a difference at every refresh."""
    hours, rest = divmod(seconds, 3600)
    minutes, rest = divmod(rest, 60)
    if hours:
        return f"{hours}h{minutes}m{rest}s"
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


def labels(prefix: str, component: str, config_hash: str) -> dict[str, pulumi.Input[str]]:
    """The labels that every resource on the host carries."""
    return {
        STACK_LABEL: prefix,
        "pageindex-stack.component": component,
        "pageindex-stack.config-hash": config_hash,
    }


def label_args(values: Mapping[str, pulumi.Input[str]]) -> list[Any]:
    """Labels in the shape that every docker resource takes, each by a type name of its own, in a stable order."""
    return [{"label": key, "value": values[key]} for key in sorted(values)]


def hardened_container(
    resource_name: str,
    *,
    host_name: str | None,
    image: pulumi.Input[str],
    user: str,
    networks: Sequence[Any],
    labelled: Mapping[str, pulumi.Input[str]],
    volumes: Sequence[Any] = (),
    environment: Mapping[str, pulumi.Input[str]] | None = None,
    memory_mib: int | None = None,
    restart: str = "unless-stopped",
    logs: LogLimits = LOGS,
    opts: pulumi.ResourceOptions,
    **extras: Any,
) -> docker.Container:
    """A container with a read-only root, no capabilities, no new privileges and bounded logs.

    Without ``host_name`` Pulumi derives one from ``resource_name``, so that two generations exist side by side.

    ``user`` is ``uid:0``: files from ConfigFiles are readable by group 0 only. ``extras`` are arguments of
    docker.Container that only some containers need.
    """
    # The provider reports a changed health check as updated in place, but Docker cannot do that: a label can.
    marks = {**labelled, "pageindex-stack.probe": stable_hash(extras.get("healthcheck"))}
    return docker.Container(
        resource_name,
        name=host_name,
        image=image,
        user=user,
        envs=[pulumi.Output.concat(key, "=", value) for key, value in sorted((environment or {}).items())],
        labels=label_args(marks),
        # Stated although it's the default: unstated, the daemon's answer is a difference at every preview.
        network_mode="bridge" if networks else "none",
        networks_advanced=list(networks),
        volumes=list(volumes),
        memory=memory_mib,
        # No swap. Unstated, the daemon's answer of twice the memory is a difference at every preview.
        memory_swap=memory_mib,
        restart=restart,
        read_only=True,
        capabilities={"drops": ["ALL"]},
        security_opts=_security_opts(extras.get("ipc_mode")),
        log_driver="json-file",
        log_opts={"max-size": f"{logs.max_mib}m", "max-file": str(logs.max_files)},
        opts=opts,
        **extras,
    )


def _security_opts(ipc_mode: str | None) -> list[str]:
    """With the host's shared memory the daemon adds label=disable; unstated, that is a difference at every refresh."""
    return [*(["label=disable"] if ipc_mode == "host" else []), "no-new-privileges:true"]
