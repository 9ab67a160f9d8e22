"""Commands of our own `checks` and `rollout` packages as resources: readiness gates that wait, and checks that ask."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pulumi
import pulumi_docker as docker
from pulumi_command import local

from host_access.docker_host import DockerHost
from planning.hosts.ssh import HostAddress

_PYTHONPATH: dict[str, str] = {}


def find_packages_at(folder: Path) -> None:
    """Let commands find our packages in ``folder``: for a plugin, whose environment does not have them installed."""
    _PYTHONPATH["PYTHONPATH"] = str(folder)


def interpreter() -> str:
    """The running Python, relative where it lies in the working directory: a clone elsewhere is no difference."""
    running, here = Path(sys.executable), Path.cwd()
    return str(running.relative_to(here)) if running.is_relative_to(here) else str(running)


def ask(
    resource_name: str,
    question: str,
    facts: Mapping[str, Any],
    *,
    triggers: Sequence[pulumi.Input[Any]],
    opts: pulumi.ResourceOptions,
) -> local.Command:
    """Run ``python -m checks <question>`` with ``facts``; see ``run_module``."""
    return run_module(resource_name, f"checks {question}", facts, triggers=triggers, opts=opts)


def roll_out(
    resource_name: str,
    facts: Mapping[str, Any],
    *,
    triggers: Sequence[pulumi.Input[Any]],
    opts: pulumi.ResourceOptions,
) -> local.Command:
    """Run ``python -m rollout``: there once the replica that ``facts`` name is the one in use."""
    return run_module(resource_name, "rollout", facts, triggers=triggers, opts=opts)


def run_module(
    resource_name: str,
    module: str,
    facts: Mapping[str, Any],
    *,
    triggers: Sequence[pulumi.Input[Any]],
    opts: pulumi.ResourceOptions,
) -> local.Command:
    """Run one of our packages with ``facts`` as JSON on its standard input, again when a trigger changes.

    Everything goes by standard input because facts contain keys, and command lines and environments are readable.
    A secret among the facts makes the whole input a secret.
    """
    return local.Command(
        resource_name,
        create=f"{interpreter()} -m {module}",
        stdin=pulumi.Output.json_dumps(dict(facts), sort_keys=True),
        triggers=list(triggers),
        environment=dict(_PYTHONPATH) or None,
        logging=local.Logging.STDERR,  # what it waits for; the finding itself, on stdout, is for programs
        opts=opts,
    )


def ended(container: docker.Container, docker_host: HostAddress) -> pulumi.Output[str]:
    """A trigger for what is known of one process of ``container``: it changes when that has ended.

    The provider starts what it keeps running under the same id, and lets a replica be. So the host is asked, by each
    preview and `up` that knows the container: a first one doesn't, nor does a pull request's. Starting the container
    again changes nothing, so the next `up` has nothing to do.
    """

    async def last_end(container_id: str) -> str:
        return await asyncio.to_thread(DockerHost(docker_host).last_end, container_id)

    return container.id.apply(last_end)


def await_container(
    resource_name: str,
    container: docker.Container,
    until: Literal["healthy", "finished"],
    what: str,
    *,
    timeout_s: int,
    docker_host: HostAddress,
    opts: pulumi.ResourceOptions,
) -> local.Command:
    """A readiness gate: there once the health check of ``container`` has passed, or once it has ended well."""
    facts = {"container": container.name, "what": what, "timeout_s": timeout_s, "docker_host": docker_host}
    triggers: list[pulumi.Input[Any]] = [container.id]
    if until == "healthy":  # of another process that is not known
        triggers.append(ended(container, docker_host))
    return ask(resource_name, until, facts, triggers=triggers, opts=opts)
