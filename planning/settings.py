"""What a stack file may say: one pydantic model per area, unknown keys refused, every default here and nowhere else."""

from __future__ import annotations

import re
from ipaddress import IPv4Address
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

Port = Annotated[int, Field(ge=1, le=65535)]
ClientName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
ApiKey = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{32,200}$")]

IMAGE_REFERENCE = re.compile(
    r"^[a-z0-9][a-z0-9._/-]*(:[0-9]+/[a-z0-9._/-]+)?:[\w][\w.-]*(@sha256:[0-9a-f]{64})?$"
    r"|^[a-z0-9][a-z0-9._/:-]*@sha256:[0-9a-f]{64}$"
)


def require_pinned_image(reference: str) -> str:
    """Return the image reference if it is pinned by tag or digest; ValueError says how to pin it."""
    if not IMAGE_REFERENCE.match(reference):
        raise ValueError("must be pinned by tag or digest, for example vllm/vllm-openai:v0.32.0")
    if reference.split("@")[0].endswith(":latest") and "@" not in reference:
        raise ValueError("`latest` moves under your feet; name a version")
    return reference


class Area(BaseModel):
    """Common to all areas: unknown keys are faults, and a refused value is never repeated by pydantic."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, strict=True)


class InlineModel(Area):
    """A model that is not in the catalog."""

    repo: str = Field(
        pattern=r"^[\w.-]+/[\w.-]+$",
        description="Hugging Face repository id.",
        examples=["HuggingFaceTB/SmolLM2-360M-Instruct"],
    )
    revision: str = Field(
        pattern=r"^[0-9a-f]{40}$",
        description="Commit of the repository, 40 hex digits, so that weights cannot change under a stack.",
        examples=["a10cc1512eabd3dde888204e902eca88bddb4951"],
    )
    context_limit: int = Field(
        gt=0, description="Longest context that the model was made for, tokens.", examples=[8192]
    )
    gated: bool = Field(False, description="Whether the hub wants a token (hf_token) for it.")
    tool_call_parser: str | None = Field(
        None, description="vLLM's --tool-call-parser, if the model can call tools.", examples=["hermes"]
    )
    max_new_tokens: int | None = Field(
        None, gt=0, description="Ceiling for generated tokens per request, for models that do not stop."
    )


class HostSettings(Area):
    """The machine whose Docker daemon runs the stack."""

    docker: str | None = Field(
        None,
        pattern=r"^(ssh://([\w.-]+@)?[\w.-]+(:\d{1,5})?|unix:///\S+)$",
        description="ssh://user@host[:port] or unix:///path. Default: DOCKER_HOST, else the local daemon.",
        examples=["ssh://gpu@10.0.0.5"],
    )


class VllmSettings(Area):
    """How the model is served."""

    image: str = Field(
        "vllm-cuda",
        description="A service name of images.compose.yaml, or an image reference pinned by tag or digest.",
        examples=["vllm-cpu"],
    )
    device: Literal["cuda", "cpu"] = Field("cuda", description="What the model runs on.", examples=["cpu"])
    max_model_len: int = Field(8192, ge=256, description="Context window, tokens.", examples=[8192])
    max_num_seqs: int = Field(16, ge=1, le=4096, description="Sequences in one batch.", examples=[16])
    gpu_memory_utilization: float = Field(
        0.9,
        gt=0.05,
        le=0.98,
        description="Share of each card's memory that vLLM may use, 0 to 1.",
        examples=[0.9],
    )
    cpu_kv_cache_gib: int = Field(2, ge=1, description="KV cache on device cpu, GiB.", examples=[2])
    enforce_eager: bool = Field(False, description="Skip compilation and CUDA graphs: starts faster, runs slower.")
    memory_gib: float | None = Field(
        None, gt=1, description="Limit of the container's host memory, GiB. Default: none.", examples=[12.0]
    )
    shm_gib: float = Field(1.0, gt=0, description="Shared memory of the container, GiB.", examples=[1.0])
    startup_timeout_s: int = Field(
        900,
        ge=30,
        le=7200,
        description="How long a replica may take from start to its first token.",
        examples=[900],
    )
    shutdown_timeout_s: int = Field(
        20,
        ge=0,
        le=600,
        description="How long running requests may finish when a replica stops.",
        examples=[20],
    )
    max_queued_requests: int = Field(
        256, ge=1, description="Waiting requests above which vLLM answers 503.", examples=[256]
    )

    @field_validator("image")
    @classmethod
    def _image_is_pinned(cls, value: str) -> str:
        return value if re.fullmatch(r"[a-z][a-z0-9-]*", value) else require_pinned_image(value)


class ModelCacheSettings(Area):
    """Where weights come from."""

    endpoint: str | None = Field(
        None,
        pattern=r"^https?://[^\s/]+(/\S*)?$",
        description="Mirror of the Hugging Face hub. Default: HF_ENDPOINT, else the hub itself.",
        examples=["https://hub.example.com"],
    )
    download_timeout_s: int = Field(
        7200, ge=60, le=172800, description="Ceiling for the whole download.", examples=[7200]
    )


class ClientSettings(Area):
    """Limits of one client of the gateway; its key stands under api_keys with the same name."""

    requests_per_minute: int = Field(600, ge=1, le=1_000_000, description="Requests a minute.", examples=[600])
    parallel_requests: int = Field(50, ge=1, le=10_000, description="Requests at the same time.", examples=[50])


class GatewaySettings(Area):
    """The one guarded door."""

    bind: str = Field("127.0.0.1", description="Host address that the ports are published on.", examples=["127.0.0.1"])
    api_port: Port = Field(8000, description="Host port of the OpenAI-compatible API.", examples=[8000])
    app_port: Port = Field(3000, description="Host port of PageIndex.", examples=[3000])
    server_names: list[Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]{1,253}$")]] = Field(
        default_factory=list,
        description="Further host names that requests may carry, beside localhost and the bind address.",
        examples=[["ai.example.com"]],
    )
    max_body_mib: int = Field(50, ge=1, le=4096, description="Largest request body, MiB.", examples=[50])
    timeout_s: int = Field(
        300, ge=5, le=86400, description="Longest silence of a request's answer, seconds.", examples=[300]
    )
    clients: dict[ClientName, ClientSettings] = Field(
        default_factory=dict,
        description="Limits per client. A client that stands only under api_keys gets the defaults.",
        examples=[{"alice": {"requests_per_minute": 120}}],
    )

    @field_validator("bind")
    @classmethod
    def _bind_is_loopback(cls, value: str) -> str:
        try:
            address = IPv4Address(value)
        except ValueError:
            raise ValueError("must be an IPv4 address") from None
        if not address.is_loopback:
            raise ValueError(
                "must be a loopback address: without TLS, keys and documents would cross the network in clear"
            )
        return value

    @field_validator("app_port")
    @classmethod
    def _ports_differ(cls, value: int, info: ValidationInfo) -> int:
        if value == info.data.get("api_port"):
            raise ValueError("must differ from api_port")
        return value


class PageIndexSettings(Area):
    """The application that answers from documents."""

    answer: Literal["agent", "two-step"] = Field(
        "two-step",
        description="`agent`: PageIndex's own chat, by tool calls. `two-step`: choose sections, then answer.",
        examples=["two-step"],
    )
    max_upload_mib: int = Field(50, ge=1, le=4096, description="Largest document, MiB.", examples=[50])
    max_pages: int = Field(2000, ge=1, le=100_000, description="Most pages in one document.", examples=[2000])
    memory_gib: float = Field(4.0, gt=0.5, description="Limit of the container's memory, GiB.", examples=[4.0])


class StackSettings(Area):
    """One hardware target, as written in its stack file."""

    model: str | InlineModel = Field(
        description="A name of planning/models.yaml, or {repo, revision, context_limit} for another one.",
        examples=["smollm2-135m-instruct"],
    )
    host: HostSettings = HostSettings()
    vllm: VllmSettings = VllmSettings()
    model_cache: ModelCacheSettings = ModelCacheSettings()
    gateway: GatewaySettings = GatewaySettings()
    pageindex: PageIndexSettings = PageIndexSettings()


class StackSecrets(Area):
    """What a stack file may say only encrypted."""

    api_keys: dict[ClientName, ApiKey] = Field(
        default_factory=dict,
        description="Client name to key: 32 to 200 characters of A-Z a-z 0-9 _ -. Default: one key is generated.",
    )
    hf_token: str | None = Field(None, pattern=r"^\S{8,}$", description="Token for gated models on the hub.")


def area_fields() -> dict[str, Any]:
    """Every key a stack file may have, with its description; the source of Pulumi.yaml's schema check."""
    return {**StackSettings.model_fields, **StackSecrets.model_fields}
