"""Checks: the finished stack is asked whether it is what was promised; a failing check fails the `up`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi

from components.command import ask
from components.gpu_checks import GpuChecks
from components.host_checks import HostChecks
from planning.hosts.ssh import HostAddress


@dataclass(frozen=True, kw_only=True)
class ChecksArgs:
    """Where to ask, and ``triggers``: ids after whose change everything is asked again."""

    api_url: str
    app_url: str
    api_key: pulumi.Input[str]
    served_models: Sequence[str]
    network_name: pulumi.Input[str]
    vllm_containers: Sequence[pulumi.Input[str]]
    """Of each replica; the first one's log explains a failing inference."""
    metrics_container: str
    app_container: str
    also_on: Mapping[str, str]
    """Containers that are on one more isolated network, another stack's."""
    gateway_container: str
    bind: str
    joined_networks: Sequence[str] = ()
    """Networks of other projects on which the gateway is."""
    tls_certificate: pulumi.Input[str]
    triggers: Sequence[pulumi.Input[Any]]
    asked_models: Mapping[str, str] | None = None
    """Model to task, of each that is asked; None asks `default`."""
    docker_host: HostAddress = None


class Checks(pulumi.ComponentResource):
    """Isolation, inference and documents, in parallel. ``results`` maps each check to what it found."""

    results: pulumi.Output[dict[str, Any]]

    def __init__(self, name: str, args: ChecksArgs, opts: pulumi.ResourceOptions | None = None):
        super().__init__("pageindex-stack:index:Checks", name, None, opts)
        host = {"docker_host": args.docker_host}
        api_key = pulumi.Output.secret(args.api_key)
        questions: Mapping[str, Mapping[str, Any]] = {
            "isolation": {
                **host,
                "network": args.network_name,
                "isolated_containers": [*args.vllm_containers, args.metrics_container, args.app_container],
                "also_on": dict(args.also_on),
                "gateway_container": args.gateway_container,
                "bind": args.bind,
                **({"joined": list(args.joined_networks)} if args.joined_networks else {}),
            },
            "inference": {
                **host,
                "api_url": args.api_url,
                "api_key": api_key,
                "tls_certificate": args.tls_certificate,
                "served_models": list(args.served_models),
                **({"models": dict(args.asked_models)} if args.asked_models else {}),
                "blame": args.vllm_containers[0],
            },
            "documents": {
                **host,
                "app_url": args.app_url,
                "api_key": api_key,
                "tls_certificate": args.tls_certificate,
                "blame": args.app_container,
            },
        }
        asked = {
            question: ask(
                f"{name}-{question}",
                question,
                facts,
                triggers=args.triggers,
                opts=pulumi.ResourceOptions(parent=self),
            )
            for question, facts in questions.items()
        }
        answers = pulumi.Output.all(**{question: command.stdout for question, command in asked.items()})
        # What a check prints is a finding, made to be shown; its input, which holds a key, is what is secret.
        self.results = pulumi.Output.unsecret(answers.apply(_parsed))
        self.register_outputs({"results": self.results})


def _parsed(answers: Mapping[str, str]) -> dict[str, Any]:
    return {question: json.loads(text) for question, text in answers.items()}


def all_results(*checks: Checks | HostChecks | GpuChecks) -> pulumi.Output[dict[str, Any]]:
    """What all of them found, by the name that each has on the command line."""
    return pulumi.Output.all(*(each.results for each in checks)).apply(
        lambda found: {name: result for results in found for name, result in results.items()}
    )
