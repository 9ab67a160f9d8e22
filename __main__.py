"""A GPU host as a private document-intelligence service. Reads like its architecture diagram, top to bottom."""

import pulumi
import pulumi_docker as docker

from components import (
    Checks,
    Gateway,
    IsolatedNetwork,
    IsolatedNetworkArgs,
    PageIndexApp,
    SecretKey,
    all_results,
)
from planning.gateway.keys import clients_of
from planning.hosts.ssh import provider_options
from planning.next_steps import next_steps
from planning.version import VERSION
from stack_file import load_plan
from wiring.front import app_args, checks_args, client_keys, gateway_args, said_of_models
from wiring.models import check_cards, check_host, forget_other_weights, vllm_servers, weights_of

plan = load_plan()
host = plan.settings.host
daemon = docker.Provider("host", host=host.docker, ssh_opts=provider_options(host))
host_checks = check_host(plan)
on_host = pulumi.ResourceOptions(providers=[daemon], depends_on=host_checks)

vllm_key = SecretKey("vllm-key").value
keys = client_keys(plan)
first_key = next(iter(keys.values()))

network = IsolatedNetwork("private", IsolatedNetworkArgs(prefix=plan.prefix), on_host)
weights = weights_of(plan, on_host)
app = PageIndexApp("pageindex", app_args(plan, network, vllm_key), on_host)
gateway = Gateway("gateway", gateway_args(plan, network, app, keys, vllm_key), on_host)
llms = vllm_servers(plan, network, weights, gateway, vllm_key, on_host)

checks = Checks("checks", checks_args(plan, network, llms, app, gateway, first_key))
gpu_checks = check_cards(plan, llms)
forget_other_weights(plan, weights, [checks, *gpu_checks])

pulumi.export("version", VERSION)
pulumi.export("api_url", gateway.api_url)
pulumi.export("app_url", gateway.app_url)
pulumi.export("api_key", first_key)
pulumi.export("clients", clients_of(keys))
pulumi.export("metrics_url", gateway.metrics.url)
pulumi.export("tls_certificate", gateway.certificate.pem)
pulumi.export("tls_fingerprint", gateway.certificate.fingerprint)
for output, value in said_of_models(plan).items():
    pulumi.export(output, value)
pulumi.export("checks", all_results(checks, *host_checks, *gpu_checks))
pulumi.export("next_steps", next_steps(plan, gateway.api_url, gateway.app_url))
