"""What each component of the program is told: a plan and the wires between components become their arguments."""

from __future__ import annotations

from collections.abc import Mapping

import pulumi

from components import (
    CardsArgs,
    ChecksArgs,
    Gateway,
    GatewayArgs,
    GpuChecks,
    GpuChecksArgs,
    HostChecks,
    HostChecksArgs,
    HostModel,
    HostModelArgs,
    IsolatedNetwork,
    ModelCache,
    ModelCacheArgs,
    PageIndexApp,
    PageIndexAppArgs,
    SecretKey,
    VllmServer,
    VllmServerArgs,
)
from planning.hosts.images import resolve_image
from planning.hosts.ssh import is_ssh
from planning.memory.model_sizes import bytes_on_disk
from planning.plan import StackPlan
from planning.rules.scans import ocr_server
from planning.services.gateway import inner_url
from planning.services.vllm_command import STABLE_ALIAS
from stack_file import hub_endpoint

DEFAULT_CLIENT = "default"


def client_keys(plan: StackPlan) -> dict[str, pulumi.Output[str]]:
    """Client name to key, as secrets; where the stack file has none, one client with a key made once."""
    configured = {name: pulumi.Output.secret(key) for name, key in plan.secrets.api_keys.items()}
    return configured or {DEFAULT_CLIENT: SecretKey(f"{DEFAULT_CLIENT}-key").value}


def cards_args(plan: StackPlan) -> CardsArgs | None:
    """The cards of a plan; None on the CPU."""
    if plan.card is None:
        return None
    gpus, memory = plan.settings.host.gpus, plan.fit.memory
    return CardsArgs(
        card=plan.card,
        count=gpus.count if gpus else 1,
        shared=bool(gpus and gpus.reserved_gib),
        replicas=plan.replicas,
        vllm=plan.settings.vllm,
        vllm_image=plan.vllm_image,
        kv_tokens=memory.kv_tokens if memory else None,
    )


def host_checks_args(plan: StackPlan) -> HostChecksArgs:
    """What a planned stack brings to its host."""
    gateway = plan.settings.gateway
    return HostChecksArgs(
        prefix=plan.prefix,
        images=[plan.vllm_image, resolve_image("python"), resolve_image("nginx")],
        bind=gateway.bind,
        ports=[gateway.api_port, gateway.app_port],
        cards=cards_args(plan),
        model_directory=plan.model_directory,
        weights_bytes=bytes_on_disk(plan.model),
        local_weights=plan.local_path,
        waivers={str(name): reason for name, reason in plan.settings.waivers.items()},
        docker_host=plan.docker_host,
    )


def check_host(plan: StackPlan) -> list[HostChecks]:
    """Asks the host whether it can run the stack; a local host without cards has nothing to ask before it is tried."""
    if plan.card is None and not is_ssh(plan.settings.host.docker):
        return []
    return [HostChecks("host-checks", host_checks_args(plan))]


def weights_of(plan: StackPlan, opts: pulumi.ResourceOptions) -> ModelCache | HostModel:
    """The model's weights: a directory of the host where the plan names one, else a volume filled from the hub."""
    prefix, image, host = plan.prefix, resolve_image("python"), plan.docker_host
    timeout_s, verify_when = plan.settings.model_cache.download_timeout_s, [plan.vllm_fingerprint]
    if plan.local_path:
        return HostModel(
            "model-directory",
            HostModelArgs(
                prefix=prefix,
                directory=plan.local_path,
                base_image=image,
                timeout_s=timeout_s,
                verify_when=verify_when,
                docker_host=host,
            ),
            opts,
        )
    return ModelCache(
        "models",
        ModelCacheArgs(
            prefix=prefix,
            repo=plan.model.repo,
            revision=plan.model.revision,
            base_image=image,
            endpoint=hub_endpoint(plan),
            timeout_s=timeout_s,
            hf_token=plan.secrets.hf_token and pulumi.Output.secret(plan.secrets.hf_token),
            verify_when=verify_when,
            docker_host=host,
        ),
        opts,
    )


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
        context_tokens=plan.settings.vllm.max_model_len,
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
        docker_host=plan.docker_host,
    )


def vllm_args(
    plan: StackPlan,
    network: IsolatedNetwork,
    weights: ModelCache | HostModel,
    gateway: Gateway,
    vllm_key: pulumi.Input[str],
) -> VllmServerArgs:
    """Replicas start on verified weights; the gateway is told of each that is in use."""
    return VllmServerArgs(
        prefix=plan.prefix,
        settings=plan.settings.vllm,
        image=plan.vllm_image,
        model=plan.model,
        model_path=weights.path,
        model_mount=weights.mount,
        network_name=network.network_name,
        api_key=vllm_key,
        replicas=plan.replicas,
        wait_for=weights.verified,
        rollout=plan.rollout,
        gateway=gateway.handle,
        docker_host=plan.docker_host,
    )


def checks_args(
    plan: StackPlan,
    network: IsolatedNetwork,
    llm: VllmServer,
    app: PageIndexApp,
    gateway: Gateway,
    api_key: pulumi.Input[str],
) -> ChecksArgs:
    """Everything is asked again when a replica, the app or the gateway was replaced."""
    return ChecksArgs(
        api_url=gateway.api_url,
        app_url=gateway.app_url,
        api_key=api_key,
        served_models=[plan.model.repo, STABLE_ALIAS],
        network_name=network.network_name,
        vllm_containers=llm.container_names,
        metrics_container=gateway.metrics.container_name,
        app_container=app.container_name,
        also_on=app.also_on,
        gateway_container=gateway.container_name,
        bind=plan.settings.gateway.bind,
        tls_certificate=gateway.certificate.pem,
        triggers=[network.network_id, *llm.ready, app.ready, gateway.ready],
        docker_host=plan.docker_host,
    )


def check_cards(plan: StackPlan, llm: VllmServer) -> list[GpuChecks]:
    """Looks at each replica's cards once all have answered; nothing on the CPU."""
    cards = cards_args(plan)
    if cards is None:
        return []
    args = GpuChecksArgs(
        prefix=plan.prefix,
        cards=cards,
        containers=llm.container_names,
        triggers=llm.ready,
        docker_host=plan.docker_host,
    )
    return [GpuChecks("gpu-checks", args)]


def forget_other_weights(plan: StackPlan, weights: ModelCache | HostModel, after: list[pulumi.Resource]) -> None:
    """Remove weights of earlier models once ``after`` is there, where the stack file asks for it."""
    if isinstance(weights, ModelCache) and not plan.settings.model_cache.keep_previous:
        weights.forget_others(after)
