"""What a stack file may say: one pydantic model per area, unknown keys refused, every default here and nowhere else."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from planning.settings.base import SettingsBase, require_pinned_image
from planning.settings.gateway import ClientSettings, GatewaySettings, KeyName, ModelName
from planning.settings.host_key import DEFAULT_PARALLEL, check_host_key
from planning.settings.model import Architecture, InlineModel, Quantization
from planning.settings.models import MODEL_DESCRIPTION, ModelSettings
from planning.settings.vllm import NcclSettings, UlimitSettings, VllmSettings

__all__ = [
    "AppModelSettings",
    "Architecture",
    "ClientSettings",
    "GatewaySettings",
    "GpuSettings",
    "HostSettings",
    "InlineModel",
    "ModelCacheSettings",
    "ModelSettings",
    "NcclSettings",
    "OneModelSettings",
    "PageIndexSettings",
    "Quantization",
    "SettingsBase",
    "StackSecrets",
    "StackSettings",
    "UlimitSettings",
    "VllmSettings",
    "require_pinned_image",
    "settings_fields",
]  # fmt: skip

ApiKey = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{32,200}$")]
Reason = Annotated[str, Field(min_length=10)]


class GpuSettings(SettingsBase):
    """The cards of the host: all of one kind."""

    name: str = Field(
        min_length=1,
        description="As nvidia-smi names it. Cards that planning/memory/cards.py knows need no further numbers.",
        examples=["NVIDIA GeForce RTX 4090"],
    )
    count: int = Field(1, ge=1, le=64, description="How many of them.", examples=[1])
    memory_mib: int | None = Field(
        None, ge=1024, description="Memory of one card as nvidia-smi reports it, MiB.", examples=[24564]
    )
    compute_capability: float | None = Field(
        None, ge=5.0, le=20.0, description="As nvidia-smi reports compute_cap.", examples=[8.9]
    )
    unified_memory: bool | None = Field(
        None, description="Whether card and host share one memory, as on GB10.", examples=[False]
    )
    nvlink: bool | None = Field(None, description="Whether NVLink joins the cards.", examples=[False])
    reserved_gib: float = Field(
        0.0, ge=0, description="What others use on each card: a desktop, another service; GiB.", examples=[0.0]
    )


class HostSettings(SettingsBase):
    """The machine whose Docker daemon runs the stack."""

    docker: str | None = Field(
        None,
        pattern=r"^(ssh://([\w.-]+@)?[\w.-]+(:\d{1,5})?|unix:///\S+)$",
        description="ssh://user@host[:port], with host_key, or unix:///path. Default: DOCKER_HOST, else the local "
        "daemon.",
        examples=["unix:///var/run/docker.sock", "ssh://gpu@10.0.0.5"],
    )
    gpus: GpuSettings | None = Field(None, description="Its cards; needed on device cuda.")
    identity_file: str | None = Field(
        None,
        pattern=r"^[~/][^\s\"%]*$",
        description="Private key for ssh. Default: what ssh itself would take, an agent's keys included.",
        examples=["~/.ssh/id_ed25519"],
    )
    host_key: str | None = Field(
        None,
        description="Public key of the host's ssh server, type and base64. Needed for ssh unless known_hosts_file is "
        "given: no other key is accepted.",
        examples=["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"],
    )
    known_hosts_file: str | None = Field(
        None,
        pattern=r"^[~/][^\s\"%]*$",
        description="File in ssh's known_hosts format that has the host's key, instead of host_key.",
        examples=["~/.ssh/known_hosts"],
    )
    parallel: int = Field(
        DEFAULT_PARALLEL, ge=1, le=10, description="Most commands at the same time over ssh.", examples=[4]
    )

    @property
    def card_count(self) -> int:
        """How many cards the host has; 0 where the file says none."""
        return self.gpus.count if self.gpus else 0

    @field_validator("host_key")
    @classmethod
    def _is_a_public_key(cls, value: str | None) -> str | None:
        return value and check_host_key(value)


class ModelCacheSettings(SettingsBase):
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
    revision: str | None = Field(
        None,
        pattern=r"^[\w][\w./-]{0,99}$",
        description="Commit to download instead of the catalog's. A branch or tag needs the waiver unpinned-model.",
        examples=["main"],
    )
    keep_previous: bool = Field(
        True,
        description="Whether weights of earlier models stay in the volume. With false the next `up` removes them, once "
        "its model has passed every check.",
        examples=[True],
    )
    local_path: str | None = Field(
        None,
        pattern=r"^/[^:,]+$",
        description="Directory on the host that holds the weights: looked at and mounted read-only, not downloaded.",
        examples=["/srv/models/my-model"],
    )


class OcrSettings(SettingsBase):
    """An OpenAI-compatible server that reads pictures of pages: another stack, or any other."""

    stack: str | None = Field(
        None,
        description="A stack of this project on the same host, such as `ocr`. The app joins its isolated network and "
        "asks its gateway, with the key in ocr_key.",
        examples=["ocr"],
    )
    base_url: str | None = Field(
        None,
        pattern=r"^https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._/-]*)?$",
        description="Instead: the address of another server, with /v1, as the app reaches it from its isolated "
        "network.",
        examples=["http://ocr:8000/v1"],
    )
    model: str = Field("default", min_length=1, description="Name of the model there.", examples=["default"])


class AppModelSettings(SettingsBase):
    """Which of `models` does what for the application. Pages are found by their words: no model embeds them."""

    answer: ModelName | None = Field(
        None, description="Answers questions. Default: the one that answers as `default`.", examples=["chat"]
    )
    summary: ModelName | None = Field(
        None,
        description="Summarises sections while a document is indexed. Default: the one that answers questions.",
        examples=["quick"],
    )
    scans: ModelName | None = Field(
        None,
        description="Reads pages that are pictures. Default: the one that answers if it reads images, else the first "
        "that does; nobody of this stack where `ocr` names another server.",
        examples=["eyes"],
    )


class PageIndexSettings(SettingsBase):
    """The application that answers from documents."""

    answer: Literal["auto", "agent", "two-step"] = Field(
        "auto",
        description="`agent`: PageIndex's own chat, by tool calls. `two-step`: choose sections, then answer. "
        "`auto`: the agent for models with tool calls and 32768 tokens of context or more.",
        examples=["two-step"],
    )
    max_upload_mib: int = Field(50, ge=1, le=4096, description="Largest document, MiB.", examples=[50])
    max_pages: int = Field(2000, ge=1, le=100_000, description="Most pages in one document.", examples=[2000])
    memory_gib: float = Field(4.0, gt=0.5, description="Limit of the container's memory, GiB.", examples=[4.0])
    model_timeout_s: int = Field(
        90,
        ge=5,
        le=86400,
        description="Longest call to the model, seconds; a question makes up to three.",
        examples=[90],
    )
    ocr: OcrSettings | None = Field(
        None,
        description="Reads scanned PDFs page by page. Default: a model of this stack that reads images; without one "
        "scans are refused, with a sentence that says so.",
        examples=[{"stack": "ocr"}],
    )
    models: AppModelSettings = AppModelSettings()


class StackSettings(SettingsBase):
    """One hardware target, as written in its stack file."""

    model: str | InlineModel | None = Field(None, description=MODEL_DESCRIPTION, examples=["smollm2-135m-instruct"])
    host: HostSettings = HostSettings()
    vllm: VllmSettings = VllmSettings()
    models: dict[ModelName, ModelSettings] = Field(
        default_factory=dict,
        description="Several models behind one gateway, by name, in place of `model` and `vllm`: the request's `model` "
        "decides which of them answers.",
        examples=[{"chat": {"model": "smollm2-135m-instruct"}}],
    )
    default_model: ModelName | None = Field(
        None,
        description="Which of `models` answers as `default`, and the app's questions unless pageindex.models says "
        "otherwise. Needed where several could.",
        examples=["chat"],
    )
    model_cache: ModelCacheSettings = ModelCacheSettings()
    gateway: GatewaySettings = GatewaySettings()
    pageindex: PageIndexSettings = PageIndexSettings()
    waivers: dict[Literal["vllm", "unpinned-model", "docker-engine"], Reason] = Field(
        default_factory=dict,
        description="Rules that this stack is exempt from, each with the reason: vllm (a version below the minimum, or "
        "unknown), unpinned-model (weights named by a branch or tag), docker-engine (one that lets names out).",
        examples=[{"vllm": "the only image for this card"}],
    )


class OneModelSettings(StackSettings):
    """A stack file without `models` has to say its one `model`."""

    model: str | InlineModel = Field(description=MODEL_DESCRIPTION, examples=["smollm2-135m-instruct"])


class StackSecrets(SettingsBase):
    """What a stack file may say only encrypted."""

    api_keys: dict[KeyName, ApiKey] = Field(
        default_factory=dict,
        description="Client name to key: 32 to 200 characters of A-Z a-z 0-9 _ -. A further key of the same client, "
        "for a rotation, stands under its name, @ and a label: alice@next. Default: one key is generated.",
    )
    hf_token: str | None = Field(None, pattern=r"^\S{8,}$", description="Token for gated models on the hub.")
    ocr_key: str | None = Field(
        None, pattern=r"^\S{8,200}$", description="Key for the server in pageindex.ocr, if it wants one."
    )
    tls_key: str | None = Field(
        None, min_length=32, description="Key of the certificate in gateway.tls, in PEM format."
    )


def settings_fields() -> dict[str, Any]:
    """Every key a stack file may have, with its description; the source of Pulumi.yaml's schema check."""
    return {**StackSettings.model_fields, **StackSecrets.model_fields}
