"""The gateway alone, on its network, as the program deploys it."""

import pulumi
import pulumi_docker as docker

from components import Gateway, GatewayArgs, IsolatedNetwork, IsolatedNetworkArgs, SecretKey
from planning.hosts.images import resolve_image
from stack_file import load_plan
from wiring.front import client_keys

plan = load_plan()
settings, prefix = plan.settings, plan.prefix
on_host = pulumi.ResourceOptions(providers=[docker.Provider("host", host=settings.host.docker)])
vllm_key = SecretKey("vllm-key")
network = IsolatedNetwork("private", IsolatedNetworkArgs(prefix=prefix), on_host)
gateway = Gateway(
    "gateway",
    GatewayArgs(
        prefix=prefix,
        settings=settings.gateway,
        image=resolve_image("nginx"),
        metrics_image=resolve_image("python"),
        network_name=network.network_name,
        app_upstream=None,
        client_keys=client_keys(plan),
        upstream_key=vllm_key.value,
        tls_key=plan.secrets.tls_key,
    ),
    on_host,
)

pulumi.export("api_url", gateway.api_url)
pulumi.export("network", network.network_name)
pulumi.export("tls_certificate", gateway.certificate.pem)
pulumi.export("tls_fingerprint", gateway.certificate.fingerprint)
