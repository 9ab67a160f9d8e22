"""The app and the gateway of a plan, the keys of its clients, what is asked of the whole and what it says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi

from components import (
    ChecksArgs,
    Gateway,
    GatewayArgs,
    IsolatedNetwork,
    PageIndexApp,
    PageIndexAppArgs,
    SecretKey,
    VllmServer,
)
from planning.gateway.config import RoutedModel
from planning.hosts.images import resolve_image
from planning.hosts.names import STABLE_ALIAS
from planning.plan import StackPlan
from planning.rules.scans import ocr_server
from planning.services.gateway import inner_url

DEFAULT_CLIENT = "default"


def client_keys(plan: StackPlan) -> dict[str, pulumi.Output[str]]:
    """Client name to key, as secrets; where the stack file has none, one client with a key made once."""
    configured = {name: pulumi.Output.secret(key) for name, key in plan.secrets.api_keys.items()}
    return configured or {DEFAULT_CLIENT: SecretKey(f"{DEFAULT_CLIENT}-key").value}


def app_args(plan: StackPlan, network: IsolatedNetwork, vllm_key: pulumi.Input[str]) -> PageIndexAppArgs:
    """The app asks the model through the gateway's inner port, as clients do through the published one."""
    settings = plan.settings.pageindex
    return PageIndexAppArgs(
        prefix=plan.prefix,
        settings=settings,
        answer=plan.answer,
        base_image=resolve_image("python"),
        network_name=network.network_name,
        llm_base_url=inner_url(plan.prefix),
        llm_api_key=vllm_key,
        models=plan.asked,
        ocr=ocr_server(settings.ocr) if settings.ocr else None,
        ocr_key=plan.secrets.ocr_key and pulumi.Output.secret(plan.secrets.ocr_key),
        docker_host=plan.docker_host,
    )


def gateway_args(
    plan: StackPlan,
    network: IsolatedNetwork,
    app: PageIndexApp,
    keys: Mapping[str, pulumi.Input[str]],
    vllm_key: pulumi.Input[str],
) -> GatewayArgs:
    """The gateway knows the app's address at once, and learns of replicas from their rollouts."""
    return GatewayArgs(
        prefix=plan.prefix,
        settings=plan.settings.gateway,
        image=resolve_image("nginx"),
        network_name=network.network_name,
        app_upstream=app.upstream,
        client_keys=keys,
        upstream_key=vllm_key,
        metrics_image=resolve_image("python"),
        tls_key=plan.secrets.tls_key,
        models=[
            RoutedModel(
                name=served.name,
                names=served.names,
                repo=served.model.repo,
                max_model_len=served.settings.max_model_len,
                task=served.model.task,
            )
            for served in plan.models
        ],
        docker_host=plan.docker_host,
    )


def checks_args(
    plan: StackPlan,
    network: IsolatedNetwork,
    llms: Mapping[str, VllmServer],
    app: PageIndexApp,
    gateway: Gateway,
    api_key: pulumi.Input[str],
) -> ChecksArgs:
    """Everything is asked again when a replica, the app or the gateway was replaced."""
    return ChecksArgs(
        api_url=gateway.api_url,
        app_url=gateway.app_url,
        api_key=api_key,
        served_models=[name for served in plan.models for name in reversed(served.names)],
        asked_models={served.name: served.model.task for served in plan.models if served.name} or None,
        network_name=network.network_name,
        vllm_containers=[name for llm in llms.values() for name in llm.container_names],
        metrics_container=gateway.metrics.container_name,
        app_container=app.container_name,
        also_on=app.also_on,
        gateway_container=gateway.container_name,
        bind=plan.settings.gateway.bind,
        joined_networks=plan.settings.gateway.networks,
        tls_certificate=gateway.certificate.pem,
        triggers=[
            network.network_id,
            *(ready for llm in llms.values() for ready in llm.ready),
            app.ready,
            gateway.ready,
        ],
        docker_host=plan.docker_host,
    )


def said_of_models(plan: StackPlan) -> dict[str, Any]:
    """What the outputs say of the models: who answers as `default`, and, where there are several, all of them."""
    said: dict[str, Any] = {
        "model": {"name": STABLE_ALIAS, "repo": plan.default.model.repo, "revision": plan.default.model.revision}
    }
    if plan.default.name:
        said["models"] = {
            served.name: {"names": list(served.names), "task": served.model.task, "revision": served.model.revision}
            for served in plan.models
        }
    return said
