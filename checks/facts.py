"""What each question is told, as JSON on standard input: the contract between `components` and `checks`.

Annotations are evaluated here, since Python knows required keys only from real ones.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NotRequired, Required, TypedDict

from planning.hosts.ssh import HostAddress
from planning.settings.model import Task


class OnHost(TypedDict, total=False):
    """Every question may be told where the daemon is; without it the environment's own is asked."""

    docker_host: HostAddress


class ContainerFacts(OnHost):
    """A container to wait for. ``what`` names it for people."""

    container: Required[str]
    what: Required[str]
    timeout_s: Required[float]


class PortsFacts(OnHost):
    """Host ports that the gateway will publish on ``bind``, and networks of other projects that it will join."""

    bind: Required[str]
    ports: Required[Sequence[int]]
    gateway_container: Required[str]
    networks: NotRequired[Sequence[str]]


class GatewayFilesFacts(OnHost):
    """SECRET: ``files`` holds keys. ``image`` is the gateway's."""

    image: Required[str]
    files: Required[Mapping[str, str]]


class GatewayReloadFacts(OnHost):
    """The gateway's container."""

    container: Required[str]


class IsolationFacts(OnHost):
    """``also_on`` maps a container to one more isolated network, another stack's.

    ``joined`` are networks of other projects on which the gateway is.
    """

    network: Required[str]
    isolated_containers: Required[Sequence[str]]
    also_on: NotRequired[Mapping[str, str]]
    gateway_container: Required[str]
    bind: Required[str]
    joined: NotRequired[Sequence[str]]


class OtherStackFacts(OnHost):
    """A stack on the same host, and its isolated network."""

    network: Required[str]
    stack: Required[str]


class AskerFacts(OnHost):
    """SECRET: how a client asks the gateway. ``blame`` is the container whose log explains a failure."""

    api_key: Required[str]
    tls_certificate: NotRequired[str]
    blame: Required[str]


class InferenceFacts(AskerFacts):
    """Names that the API has to list. ``models`` are those to be asked, with their tasks; else it is `default`."""

    api_url: Required[str]
    served_models: Required[Sequence[str]]
    models: NotRequired[Mapping[str, Task]]


class DocumentsFacts(AskerFacts):
    """Where PageIndex answers."""

    app_url: Required[str]


class PlannedCards(TypedDict):
    """The host's cards: ``memory_mib`` as nvidia-smi reports it, ``usable_mib`` as CUDA does."""

    name: str
    count: int
    memory_mib: int
    usable_mib: int
    compute_capability: float
    unified: bool


class PlannedReplica(TypedDict):
    """``container`` is None before it exists; ``kv_tokens`` is None where its memory was not planned."""

    container: str | None
    cards: Sequence[int]
    kv_tokens: int | None


class CardFacts(OnHost):
    """Cards and who gets them; ``cards`` is None on the CPU, and the other keys are left out then."""

    prefix: Required[str]
    cards: Required[PlannedCards | None]
    shared_cards: NotRequired[bool]
    replicas: NotRequired[Sequence[PlannedReplica]]
    gpu_memory_utilization: NotRequired[float]
    vllm_image: NotRequired[str]
    cuda_compatibility: NotRequired[bool]


class WeightsFacts(TypedDict):
    """Where weights lie: in ``directory`` of the stack's volume, or in ``local_path`` of the host."""

    directory: str
    bytes: int | None
    local_path: str | None


class HostFactsWanted(CardFacts):
    """What a stack brings to its host."""

    images: Required[Sequence[str]]
    bind: Required[str]
    ports: Required[Sequence[int]]
    weights: Required[WeightsFacts]
    waivers: Required[Mapping[str, str]]


FACTS: Mapping[str, Any] = {
    "host": HostFactsWanted,
    "healthy": ContainerFacts,
    "finished": ContainerFacts,
    "ports": PortsFacts,
    "gpu": CardFacts,
    "isolation": IsolationFacts,
    "other-stack": OtherStackFacts,
    "inference": InferenceFacts,
    "documents": DocumentsFacts,
    "gateway-files": GatewayFilesFacts,
    "gateway-reload": GatewayReloadFacts,
}


class WrongFacts(ValueError):
    """The program and the checks do not agree on what a question is told."""


def checked(question: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of a question. WrongFacts names every key that is missing, and every key that nobody reads."""
    kind = FACTS[question]
    missing = sorted(kind.__required_keys__ - set(given))
    unknown = sorted(set(given) - kind.__required_keys__ - kind.__optional_keys__)
    if missing or unknown:
        told = [f"lacks {', '.join(missing)}"] * bool(missing) + [f"has unknown {', '.join(unknown)}"] * bool(unknown)
        raise WrongFacts(f"`{question}` {' and '.join(told)}")
    return dict(given)
