"""IsolatedNetwork: a bridge whose members reach each other and nothing else."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_docker as docker

from components.container import label_args, labels
from planning.hosts.names import internal_network
from planning.services.service import stable_hash

# Engines from 28 on then give the bridge no host address at all; older ones ignore the option, and the isolation
# check says which of the two holds.
ISOLATED_MODE = {
    "com.docker.network.bridge.gateway_mode_ipv4": "isolated",
    "com.docker.network.bridge.gateway_mode_ipv6": "isolated",
}


@dataclass(frozen=True, kw_only=True)
class IsolatedNetworkArgs:
    """``prefix`` starts the network's name on the host."""

    prefix: str


class IsolatedNetwork(pulumi.ComponentResource):
    """An internal network without a route out, without a port from outside and, on new engines, without the host."""

    network_name: pulumi.Output[str]
    network_id: pulumi.Output[str]

    def __init__(self, name: str, args: IsolatedNetworkArgs, opts: pulumi.ResourceOptions | None = None):
        super().__init__("pageindex-stack:index:IsolatedNetwork", name, None, opts)
        network = docker.Network(
            f"{name}-network",
            name=internal_network(args.prefix),
            driver="bridge",
            internal=True,
            options=ISOLATED_MODE,
            labels=label_args(labels(args.prefix, "network", stable_hash(ISOLATED_MODE))),
            opts=pulumi.ResourceOptions(parent=self, delete_before_replace=True),  # its name is fixed
        )
        self.network_name = network.name
        self.network_id = network.id
        self.register_outputs({"network_name": self.network_name, "network_id": self.network_id})
