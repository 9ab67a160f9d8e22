"""SecretKey, IsolatedNetwork and ModelCache with inputs and outputs that every language has.

Names and settings are plain: they are needed before anything runs, so that a preview can refuse them. Annotations are
evaluated and `Optional` is written out, because Pulumi reads the schema from them.
"""

from typing import Optional, TypedDict

import pulumi

import components
from planning.hosts.images import resolve_image
from provider.inputs import PACKAGE, model_from


class SecretKeyArgs(TypedDict):
    """Nothing is needed: the key is made once and kept in the state."""


class SecretKey(pulumi.ComponentResource):
    """A random key that is made once and then kept, encrypted, in the stack's state."""

    value: pulumi.Output[str]
    """The key, a secret: 43 characters of A-Z a-z 0-9 _."""

    def __init__(self, name: str, args: SecretKeyArgs, opts: Optional[pulumi.ResourceOptions] = None):  # noqa: ARG002
        super().__init__(f"{PACKAGE}:SecretKey", name, {}, opts)
        key = components.SecretKey(name, pulumi.ResourceOptions(parent=self))
        self.value = pulumi.Output.secret(key.value)
        self.register_outputs({"value": self.value})


class IsolatedNetworkArgs(TypedDict):
    """Where the network gets its name from."""

    prefix: str
    """Starts the name of everything of this stack on the host."""


class IsolatedNetwork(pulumi.ComponentResource):
    """A Docker network without a route out, without a port from outside and, on new engines, without the host."""

    network_name: pulumi.Output[str]
    """Its name on the host."""
    network_id: pulumi.Output[str]
    """Docker's id of it."""

    def __init__(self, name: str, args: IsolatedNetworkArgs, opts: Optional[pulumi.ResourceOptions] = None):
        super().__init__(f"{PACKAGE}:IsolatedNetwork", name, {}, opts)
        network = components.IsolatedNetwork(
            name, components.IsolatedNetworkArgs(prefix=args["prefix"]), pulumi.ResourceOptions(parent=self)
        )
        self.network_name, self.network_id = network.network_name, network.network_id
        self.register_outputs({"networkName": self.network_name, "networkId": self.network_id})


class ModelCacheArgs(TypedDict):
    """Which weights, and where from."""

    prefix: str
    """Starts the name of everything of this stack on the host."""
    model: str
    """A name of the catalog, such as qwen3-8b."""
    revision: Optional[str]
    """Commit to download instead of the catalog's."""
    endpoint: Optional[str]
    """Mirror of the Hugging Face hub. Default: the hub itself."""
    hf_token: Optional[pulumi.Input[str]]
    """Token for gated models."""
    timeout_s: Optional[int]
    """Ceiling for the whole download, seconds. Default: 7200."""


class ModelCache(pulumi.ComponentResource):
    """A volume with verified weights. It outlives `pulumi destroy`, and the next `up` needs no hub."""

    volume_name: pulumi.Output[str]
    """The volume, which a VllmServer mounts read-only."""
    path: pulumi.Output[str]
    """Where the model lies inside a container that mounts it."""
    verified: pulumi.Output[str]
    """There once the weights are complete and compared with their manifest."""

    def __init__(self, name: str, args: ModelCacheArgs, opts: Optional[pulumi.ResourceOptions] = None):
        super().__init__(f"{PACKAGE}:ModelCache", name, {}, opts)
        model = model_from(args["model"])
        cache = components.ModelCache(
            name,
            components.ModelCacheArgs(
                prefix=args["prefix"],
                repo=model.repo,
                revision=args.get("revision") or model.revision,
                base_image=resolve_image("python"),
                endpoint=args.get("endpoint"),
                hf_token=args.get("hf_token"),
                timeout_s=int(args.get("timeout_s") or components.ModelCacheArgs.timeout_s),
                verify_when=[model.repo],
            ),
            pulumi.ResourceOptions(parent=self),
        )
        self.volume_name = cache.volume_name
        self.verified = cache.verified_id
        # Known only with the verification: whoever takes it waits for the weights.
        self.path = self.verified.apply(lambda _: cache.path)
        outputs = {"volumeName": self.volume_name, "path": self.path, "verified": self.verified}
        self.register_outputs(outputs)
