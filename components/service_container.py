"""A Service of planning as a Docker container: the description becomes the arguments of the hardened container."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
import pulumi_docker as docker

from components.config_files import ConfigFiles, ConfigFilesArgs
from components.container import hardened_container, healthcheck, labels
from planning.services.service import Network, Scratch, Service, stable_hash

FILES_LABEL = "pageindex-stack.files"


def service_files(
    name: str,
    service: Service,
    *,
    prefix: str,
    image: pulumi.Input[str],
    secrets: Mapping[str, pulumi.Input[str]] | None = None,
    of_model: str = "",
    opts: pulumi.ResourceOptions,
) -> ConfigFiles:
    """The files of a service in their volume; ``secrets`` holds the contents of its secret files, by name."""
    return ConfigFiles(
        name,
        ConfigFilesArgs(
            prefix=prefix,
            component=service.component,
            image=image,
            files=file_contents(service, secrets or {}),
            of_model=of_model,
        ),
        opts,
    )


def file_contents(service: Service, secrets: Mapping[str, pulumi.Input[str]]) -> dict[str, pulumi.Input[str]]:
    """Name to content of every file. ValueError if ``secrets`` are not exactly the secret files of the service."""
    if set(secrets) != service.secret_files:
        raise ValueError(
            f"{service.component} has secret files {sorted(service.secret_files)}, given: {sorted(secrets)}"
        )
    return {**service.files, **secrets}


def service_container(
    resource_name: str,
    service: Service,
    *,
    prefix: str,
    host_name: str | None,
    image: pulumi.Input[str],
    networks: Mapping[Network, pulumi.Input[str]],
    mounts: Mapping[str, Mapping[str, Any]],
    labelled: Mapping[str, pulumi.Input[str]] | None = None,
    also_on: Sequence[str] = (),
    opts: pulumi.ResourceOptions,
    **docker_only: Any,
) -> docker.Container:
    """The container of a service.

    ``networks`` and ``mounts`` say what its networks and volumes are on this host: a network's name, and
    ``{"volume_name": …}`` or ``{"host_path": …}``. ``also_on`` are networks of other projects, and
    ``docker_only`` arguments of docker.Container that mean nothing to another engine. Without ``host_name`` Pulumi
    derives one, so that two generations exist side by side.
    """
    arguments: dict[str, Any] = {
        "entrypoints": list(service.entrypoint) or None,
        "command": list(service.command) or None,
        "tmpfs": {each.path: _tmpfs_options(each) for each in service.scratch} or None,
        "shm_size": service.shared_memory_mib,
        "stop_timeout": service.stop_grace_s,
        "destroy_grace_seconds": service.stop_grace_s,
        "stop_signal": service.stop_signal,
        "ports": [{"internal": port.inside, "external": port.outside, "ip": port.address} for port in service.ports]
        or None,
        "device_requests": _device_requests(service.cards),
        "healthcheck": service.health
        and healthcheck(
            ["CMD", *service.health.command],
            startup_s=service.health.startup_s,
            timeout_s=service.health.timeout_s,
            interval_s=service.health.interval_s,
        ),
        **docker_only,
    }
    return hardened_container(
        resource_name,
        host_name=host_name,
        image=image,
        user=service.user,
        networks=[
            *(_network(service, network, networks[network]) for network in service.networks),
            *({"name": name} for name in also_on),
        ],
        labelled={**labels(prefix, service.component, stable_hash(*service.identity)), **(labelled or {})},
        environment=service.environment,
        volumes=[_volume(mounts[each.name], each.path, read_only=each.read_only) for each in service.volumes],
        memory_mib=service.memory_mib,
        restart=service.restart,
        logs=service.logs,
        opts=opts,
        **{key: value for key, value in arguments.items() if value is not None},
    )


def _network(service: Service, network: Network, name: pulumi.Input[str]) -> dict[str, Any]:
    """An alias is for the stack's own network: another stack has services of its own by the same names."""
    return {"name": name, "aliases": [service.alias]} if service.alias and network == "internal" else {"name": name}


def _volume(source: Mapping[str, Any], path: str, *, read_only: bool) -> dict[str, Any]:
    return {**source, "container_path": path, **({"read_only": True} if read_only else {})}


def _tmpfs_options(scratch: Scratch) -> str:
    options = [
        f"size={scratch.size_mib}m" if scratch.size_mib else "",
        "exec" if scratch.executable else "",
        f"uid={scratch.owner}" if scratch.owner else "",
    ]
    return ",".join(option for option in options if option)


def _device_requests(cards: Sequence[int]) -> list[dict[str, Any]] | None:
    """Cards by index. The provider's `gpus` cannot name several, and differs at every preview."""
    if not cards:
        return None
    return [{"driver": "nvidia", "device_ids": [str(card) for card in cards], "capabilities": ["gpu"]}]
