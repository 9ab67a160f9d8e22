"""Commands of our own `checks` and `rollout` packages as resources: readiness gates that wait, and checks that ask."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pulumi
import pulumi_docker as docker
from pulumi_command import local

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


def ended(container: docker.Container, docker_host: HostAddress, parent: pulumi.Resource) -> pulumi.Output[str]:
    """A trigger for whatever depends on the process of ``container``: another one once that has ended.

    The provider sees that a container was removed, and starts one that it keeps running, but changes no id then; a
    replica it lets be. So the host is asked at each preview and `up`, once Pulumi knows the container: not before the
    first `up`, as in a pull request. A host that does not answer is no failure here. Starting the container again
    changes nothing, so that the `up` after it has nothing to do.
    """
    facts = pulumi.Output.json_dumps({"container": container.id, "docker_host": docker_host}, sort_keys=True)
    seen = local.run_output(
        command=f"{interpreter()} -m checks ended",
        stdin=facts,
        environment=dict(_PYTHONPATH) or None,
        opts=pulumi.InvokeOptions(parent=parent),
    )
    return seen.stdout


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
        triggers.append(ended(container, docker_host, container))
    return ask(resource_name, until, facts, triggers=triggers, opts=opts)
