"""A GPU host as a private document-intelligence service. Reads like its architecture diagram, top to bottom."""

import pulumi
import pulumi_docker as docker

from components import (
    CardsArgs,
    Checks,
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
    IsolatedNetworkArgs,
    ModelCache,
    ModelCacheArgs,
    PageIndexApp,
    PageIndexAppArgs,
    SecretKey,
    VllmServer,
    VllmServerArgs,
    all_results,
)
from planning.gateway.config import INNER_PORT
from planning.gateway.keys import clients_of
from planning.hosts.images import resolve_image
from planning.hosts.names import gateway_container
from planning.hosts.ssh import host_facts, is_ssh, provider_options
from planning.next_steps import next_steps
from planning.rules.scans import ocr_server
from planning.services.vllm_command import STABLE_ALIAS
from stack_file import client_keys, hub_endpoint, load_plan

plan = load_plan()
settings, prefix, host = plan.settings, plan.prefix, host_facts(plan.settings.host)
daemon = docker.Provider("host", host=settings.host.docker, ssh_opts=provider_options(settings.host))
cards = CardsArgs.of(plan)
# A local host without cards has nothing to ask for before it is tried.
host_checks = [HostChecks("host-checks", HostChecksArgs.of(plan))] if cards or is_ssh(settings.host.docker) else []
on_host = pulumi.ResourceOptions(providers=[daemon], depends_on=host_checks)

vllm_key = SecretKey("vllm-key")
keys = client_keys(plan)

network = IsolatedNetwork("private", IsolatedNetworkArgs(prefix=prefix), on_host)

weights = (
    HostModel(
        "model-directory",
        HostModelArgs(
            prefix=prefix,
            directory=plan.local_path,
            base_image=resolve_image("python"),
            timeout_s=settings.model_cache.download_timeout_s,
            verify_when=[plan.vllm_fingerprint],
            docker_host=host,
        ),
        on_host,
    )
    if plan.local_path
    else ModelCache(
        "models",
        ModelCacheArgs(
            prefix=prefix,
            repo=plan.model.repo,
            revision=plan.model.revision,
            base_image=resolve_image("python"),
            endpoint=hub_endpoint(plan),
            timeout_s=settings.model_cache.download_timeout_s,
            hf_token=plan.secrets.hf_token and pulumi.Output.secret(plan.secrets.hf_token),
            verify_when=[plan.vllm_fingerprint],
            docker_host=host,
        ),
        on_host,
    )
)
app = PageIndexApp(
    "pageindex",
    PageIndexAppArgs(
        prefix=prefix,
        settings=settings.pageindex,
        answer=plan.answer,
        base_image=resolve_image("python"),
        network_name=network.network_name,
        llm_base_url=f"http://{gateway_container(prefix)}:{INNER_PORT}/v1",
        llm_api_key=vllm_key.value,
        context_tokens=settings.vllm.max_model_len,
        ocr=settings.pageindex.ocr and ocr_server(settings.pageindex.ocr),
        ocr_key=plan.secrets.ocr_key and pulumi.Output.secret(plan.secrets.ocr_key),
        docker_host=host,
    ),
    on_host,
)
gateway = Gateway(
    "gateway",
    GatewayArgs(
        prefix=prefix,
        settings=settings.gateway,
        image=resolve_image("nginx"),
        network_name=network.network_name,
        app_upstream=app.upstream,
        client_keys=keys,
        upstream_key=vllm_key.value,
        metrics_image=resolve_image("python"),
        tls_key=plan.secrets.tls_key,
        docker_host=host,
    ),
    on_host,
)
llm = VllmServer(
    "llm",
    VllmServerArgs(
        prefix=prefix,
        settings=settings.vllm,
        image=plan.vllm_image,
        model=plan.model,
        model_path=weights.path,
        model_mount=weights.mount,
        network_name=network.network_name,
        api_key=vllm_key.value,
        replicas=plan.replicas,
        wait_for=weights.verified,
        rollout=plan.rollout,
        gateway=gateway.handle,
        docker_host=host,
    ),
    on_host,
)
checks = Checks(
    "checks",
    ChecksArgs(
        api_url=gateway.api_url,
        app_url=gateway.app_url,
        api_key=next(iter(keys.values())),
        served_models=[plan.model.repo, STABLE_ALIAS],
        network_name=network.network_name,
        isolated_containers=[*llm.container_names, gateway.metrics.container_name, app.container_name],
        also_on=app.also_on,
        gateway_container=gateway.container_name,
        bind=settings.gateway.bind,
        tls_certificate=gateway.certificate.pem,
        triggers=[network.network_id, *llm.ready, app.ready, gateway.ready],
        docker_host=host,
    ),
)
gpu_checks = [
    GpuChecks(
        "gpu-checks",
        GpuChecksArgs(prefix=prefix, cards=each, containers=llm.container_names, triggers=llm.ready, docker_host=host),
    )
    for each in ([cards] if cards else [])
]
if isinstance(weights, ModelCache) and not settings.model_cache.keep_previous:
    weights.forget_others([checks, *gpu_checks])

pulumi.export("api_url", gateway.api_url)
pulumi.export("app_url", gateway.app_url)
pulumi.export("api_key", next(iter(keys.values())))
pulumi.export("clients", clients_of(keys))
pulumi.export("metrics_url", gateway.metrics.url)
pulumi.export("tls_certificate", gateway.certificate.pem)
pulumi.export("tls_fingerprint", gateway.certificate.fingerprint)
pulumi.export("model", {"name": STABLE_ALIAS, "repo": plan.model.repo, "revision": plan.model.revision})
pulumi.export("checks", all_results(checks, *host_checks, *gpu_checks))
pulumi.export("next_steps", next_steps(plan, gateway.api_url, gateway.app_url))
