"""The part of the program that rollouts are about: weights, gateway and replicas, without the app and the checks."""

import pulumi
import pulumi_docker as docker

from components import (
    Gateway,
    GatewayArgs,
    IsolatedNetwork,
    IsolatedNetworkArgs,
    ModelCache,
    ModelCacheArgs,
    SecretKey,
    VllmServer,
    VllmServerArgs,
)
from planning.hosts.images import resolve_image
from stack_file import hub_endpoint, load_plan
from wiring.front import client_keys

plan = load_plan()
settings, prefix = plan.settings, plan.prefix
on_host = pulumi.ResourceOptions(providers=[docker.Provider("host", host=settings.host.docker)])
vllm_key = SecretKey("vllm-key")
keys = client_keys(plan)
network = IsolatedNetwork("private", IsolatedNetworkArgs(prefix=prefix), on_host)
weights = ModelCache(
    "models",
    ModelCacheArgs(
        prefix=prefix,
        repo=plan.default.model.repo,
        revision=plan.default.model.revision,
        base_image=resolve_image("python"),
        endpoint=hub_endpoint(plan),
        verify_when=[plan.default.fingerprint],
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
        app_upstream=None,
        client_keys=keys,
        upstream_key=vllm_key.value,
    ),
    on_host,
)
llm = VllmServer(
    "llm",
    VllmServerArgs(
        prefix=prefix,
        settings=settings.vllm,
        image=plan.default.image,
        model=plan.default.model,
        model_path=weights.path,
        model_mount=weights.mount,
        network_name=network.network_name,
        api_key=vllm_key.value,
        replicas=plan.default.replicas,
        wait_for=weights.verified,
        rollout=plan.default.rollout,
        gateway=gateway.handle,
    ),
    on_host,
)

pulumi.export("api_url", gateway.api_url)
pulumi.export("api_key", next(iter(keys.values())))
