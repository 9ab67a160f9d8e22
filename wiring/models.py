"""Weights, servers and cards of each model of a plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pulumi

from components import (
    CardsArgs,
    Gateway,
    GpuChecks,
    GpuChecksArgs,
    HostChecks,
    HostChecksArgs,
    HostModel,
    HostModelArgs,
    IsolatedNetwork,
    ModelCache,
    ModelCacheArgs,
    VllmServer,
    VllmServerArgs,
    Weights,
)
from planning.hosts.images import resolve_image
from planning.hosts.ssh import is_ssh
from planning.memory.model_sizes import bytes_on_disk
from planning.plan import ServedModel, StackPlan
from stack_file import hub_endpoint


def named(resource: str, served: ServedModel) -> str:
    """A resource of one model; where a stack serves one, nothing in its name says which."""
    return f"{resource}-{served.name}" if served.name else resource


def cards_args(plan: StackPlan, served: ServedModel) -> CardsArgs | None:
    """The cards of a plan, and a model's place on them; None on the CPU."""
    if plan.card is None or served.card is None:
        return None
    gpus, memory = plan.settings.host.gpus, served.fit.memory
    return CardsArgs(
        card=plan.card,
        count=plan.settings.host.card_count,
        shared=served.card.reserved_gib > plan.card.reserved_gib or bool(gpus and gpus.reserved_gib),
        replicas=served.replicas,
        vllm=served.settings,
        vllm_image=served.image,
        kv_tokens=memory.kv_tokens if memory else None,
    )


def host_checks_args(plan: StackPlan, served: ServedModel) -> HostChecksArgs:
    """What a model of a planned stack brings to its host."""
    gateway = plan.settings.gateway
    return HostChecksArgs(
        prefix=plan.prefix,
        images=[served.image, resolve_image("python"), resolve_image("nginx")],
        bind=gateway.bind,
        ports=[gateway.api_port, gateway.app_port],
        cards=cards_args(plan, served),
        model_directory=served.directory,
        weights_bytes=bytes_on_disk(served.model),
        local_weights=served.local_path,
        waivers={str(name): reason for name, reason in plan.settings.waivers.items()},
        result=named("host", served),
        docker_host=plan.docker_host,
    )


def check_host(plan: StackPlan) -> list[HostChecks]:
    """Asks the host whether it can run the stack; a local host without cards has nothing to ask before it is tried."""
    if plan.card is None and not is_ssh(plan.settings.host.docker):
        return []
    return [HostChecks(named("host-checks", served), host_checks_args(plan, served)) for served in plan.models]


def weights_of(plan: StackPlan, opts: pulumi.ResourceOptions) -> dict[str, ModelCache | HostModel | Weights]:
    """Each model's weights: a directory of the host where the plan names one, else in a volume filled from the hub."""
    found: dict[str, ModelCache | HostModel | Weights] = {}
    kept: dict[tuple[str, str], ModelCache | Weights] = {}
    cache: ModelCache | None = None
    # The default first: a stack that had it alone goes on with its weights.
    for served in sorted(plan.models, key=lambda each: each is not plan.default):
        weights = (served.model.repo, served.model.revision)
        if served.local_path:
            found[served.name] = _host_model(plan, served, opts)
        elif weights in kept:
            found[served.name] = kept[weights]
        elif cache is None:
            found[served.name] = kept[weights] = cache = _model_cache(plan, served, opts)
        else:
            after = next(reversed(kept.values())).verified
            found[served.name] = kept[weights] = cache.fetch_another(
                served.name,
                repo=served.model.repo,
                revision=served.model.revision,
                verify_when=_fingerprints(plan, served),
                after=after,
            )
    return found


def _fingerprints(plan: StackPlan, served: ServedModel) -> list[str]:
    """Of every model that loads these weights."""
    same = (served.model.repo, served.model.revision)
    return [each.fingerprint for each in plan.models if (each.model.repo, each.model.revision) == same]


def _host_model(plan: StackPlan, served: ServedModel, opts: pulumi.ResourceOptions) -> HostModel:
    return HostModel(
        named("model-directory", served),
        HostModelArgs(
            prefix=plan.prefix,
            directory=served.local_path or "",
            base_image=resolve_image("python"),
            timeout_s=plan.settings.model_cache.download_timeout_s,
            verify_when=[served.fingerprint],
            label=served.name,
            docker_host=plan.docker_host,
        ),
        opts,
    )


def _model_cache(plan: StackPlan, served: ServedModel, opts: pulumi.ResourceOptions) -> ModelCache:
    return ModelCache(
        "models",
        ModelCacheArgs(
            prefix=plan.prefix,
            repo=served.model.repo,
            revision=served.model.revision,
            base_image=resolve_image("python"),
            endpoint=hub_endpoint(plan),
            timeout_s=plan.settings.model_cache.download_timeout_s,
            hf_token=plan.secrets.hf_token and pulumi.Output.secret(plan.secrets.hf_token),
            verify_when=_fingerprints(plan, served),
            docker_host=plan.docker_host,
        ),
        opts,
    )


def vllm_servers(
    plan: StackPlan,
    network: IsolatedNetwork,
    weights: Mapping[str, ModelCache | HostModel | Weights],
    gateway: Gateway,
    vllm_key: pulumi.Input[str],
    opts: pulumi.ResourceOptions,
) -> dict[str, VllmServer]:
    """A server of each model. On a card that they share one starts after the other."""
    servers: dict[str, VllmServer] = {}
    for served in plan.models:
        before = [rollout for name in served.starts_after for rollout in servers[name].rollouts]
        args = vllm_args(plan, served, network, weights[served.name], gateway, vllm_key, before)
        servers[served.name] = VllmServer(named("llm", served), args, opts)
    return servers


def vllm_args(
    plan: StackPlan,
    served: ServedModel,
    network: IsolatedNetwork,
    weights: ModelCache | HostModel | Weights,
    gateway: Gateway,
    vllm_key: pulumi.Input[str],
    start_after: Sequence[pulumi.Resource] = (),
) -> VllmServerArgs:
    """Replicas start on verified weights; the gateway is told of each that is in use."""
    return VllmServerArgs(
        prefix=plan.prefix,
        settings=served.settings,
        image=served.image,
        model=served.model,
        model_path=weights.path,
        model_mount=weights.mount,
        network_name=network.network_name,
        api_key=vllm_key,
        replicas=served.replicas,
        card=served.card.name if served.card else "",
        served=served.name,
        names=served.names if served.name else (),
        wait_for=weights.verified,
        start_after=start_after,
        rollout=served.rollout,
        gateway=gateway.handle,
        docker_host=plan.docker_host,
    )


def check_cards(plan: StackPlan, llms: Mapping[str, VllmServer]) -> list[GpuChecks]:
    """Looks at each replica's cards once all have answered; nothing on the CPU."""
    found = []
    for served in plan.models:
        cards, llm = cards_args(plan, served), llms[served.name]
        if cards is None:
            continue
        args = GpuChecksArgs(
            prefix=plan.prefix,
            cards=cards,
            containers=llm.container_names,
            triggers=llm.ready,
            result=named("gpu", served),
            docker_host=plan.docker_host,
        )
        found.append(GpuChecks(named("gpu-checks", served), args))
    return found


def forget_other_weights(
    plan: StackPlan, weights: Mapping[str, ModelCache | HostModel | Weights], after: list[pulumi.Resource]
) -> None:
    """Remove weights of earlier models once ``after`` is there, where the stack file asks for it."""
    if plan.settings.model_cache.keep_previous:
        return
    for each in weights.values():
        if isinstance(each, ModelCache):
            each.forget_others(after)
            return
