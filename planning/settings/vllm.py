"""How the model is served: every tuning knob of vLLM and of its container that a stack file may turn."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer

from planning.settings.base import SettingsBase, require_pinned_image

FlagName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$")]
VariableName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Card = Annotated[int, Field(ge=0, le=63)]

# Later settings are left out of a dump while they have their default: the dump is part of a replica's hash, and a
# setting that nobody uses must not replace replicas that run.
FIRST_SETTINGS = (
    "image", "device", "max_model_len", "max_num_seqs", "gpu_memory_utilization", "cpu_kv_cache_gib", "enforce_eager",
    "memory_gib", "shm_gib", "startup_timeout_s", "shutdown_timeout_s", "max_queued_requests",
)  # fmt: skip

# No part of a replica: changing them replaces none. (Which cards each has is, and has its own place in the hash.)
OF_ALL_REPLICAS = ("replicas", "placement", "rollout", "rollback", "drain_timeout_s")


class NcclSettings(SettingsBase):
    """How cards talk to each other. Consumer cards have no peer access unless a patched driver grants it."""

    p2p: bool | None = Field(None, description="Peer access between cards. Default: NCCL decides.", examples=[False])
    infiniband: bool | None = Field(None, description="InfiniBand. Default: NCCL decides.", examples=[False])
    shared_memory: bool | None = Field(None, description="Host shared memory. Default: NCCL decides.", examples=[True])
    debug: Literal["VERSION", "WARN", "INFO", "TRACE"] | None = Field(
        None, description="NCCL_DEBUG.", examples=["WARN"]
    )


class UlimitSettings(SettingsBase):
    """Limits of the container's processes; -1 is unlimited."""

    memlock: int | None = Field(None, ge=-1, description="Locked memory, bytes.", examples=[-1])
    stack: int | None = Field(None, ge=-1, description="Stack, bytes.", examples=[67_108_864])


class VllmSettings(SettingsBase):
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
    replicas: int = Field(
        1, ge=1, le=64, description="Servers behind the gateway, each on its own cards.", examples=[1]
    )
    tensor_parallel_size: int = Field(1, ge=1, le=64, description="Cards that share each layer.", examples=[1])
    pipeline_parallel_size: int = Field(
        1, ge=1, le=64, description="Cards that share the layers in turn.", examples=[1]
    )
    placement: list[list[Card]] = Field(
        default_factory=list,
        description="Cards of each replica, by nvidia-smi's index: [[0, 1], [2, 3]]. Default: in order.",
        examples=[[[0]]],
    )
    kv_cache_dtype: Literal["auto", "bfloat16", "float16", "fp8", "fp8_e4m3", "fp8_e5m2"] = Field(
        "auto", description="How KV cache is kept; fp8 doubles the tokens.", examples=["auto"]
    )
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = Field(
        "auto", description="What is computed in; how weights are quantized is another setting.", examples=["auto"]
    )
    quantization: Literal["awq", "awq_marlin", "compressed-tensors", "fp8", "gptq", "gptq_marlin"] | None = Field(
        None, description="Default: what the model's config.json says. fp8 quantizes 16-bit weights while loading."
    )
    max_num_batched_tokens: int | None = Field(
        None, ge=1, description="Tokens in one step. Default: vLLM's, 2048 or 8192 by card.", examples=[8192]
    )
    cpu_offload_gib: float = Field(
        0.0, ge=0, description="Part of each card's weights that is kept in host memory, GiB.", examples=[0.0]
    )
    custom_all_reduce: bool = Field(True, description="vLLM's own all-reduce; needs peer access between cards.")
    images_per_prompt: int | None = Field(
        None, ge=0, description="Most images in one request, for models that read them.", examples=[1]
    )
    nccl: NcclSettings = NcclSettings()
    serve_command: list[str] = Field(
        default_factory=list,
        description="What precedes the model where the image's entrypoint isn't vLLM: [vllm, serve].",
        examples=[["vllm", "serve"]],
    )
    ipc: Literal["private", "shareable", "host"] = Field(
        "private", description="Inter-process memory. `host` isolates the container less.", examples=["private"]
    )
    ulimits: UlimitSettings = UlimitSettings()
    restart: Literal["no", "on-failure", "unless-stopped", "always"] = Field(
        "unless-stopped", description="When Docker starts a stopped replica again.", examples=["unless-stopped"]
    )
    rollout: Literal["auto", "rolling", "blue-green", "recreate"] = Field(
        "auto",
        description="How a replica is replaced. `rolling`: one after the other. `blue-green`: the new one beside the "
        "old one. `recreate`: the old one goes first; clients get 503 with Retry-After meanwhile. `auto`: rolling with "
        "several replicas, blue-green where two fit on the cards, else recreate.",
        examples=["auto"],
    )
    rollback: bool = Field(
        True, description="Whether the old model serves again when the new one fails its check; `up` fails either way."
    )
    drain_timeout_s: int = Field(
        120,
        ge=0,
        le=3600,
        description="How long running requests may go on in a replica that is being replaced.",
        examples=[120],
    )
    log_max_mib: int = Field(100, ge=1, le=10_000, description="Size of one log file, MiB.", examples=[100])
    log_max_files: int = Field(5, ge=1, le=100, description="Log files kept.", examples=[5])
    extra_flags: dict[FlagName, str | int | float | bool] = Field(
        default_factory=dict,
        description="Further vLLM flags, without dashes: {seed: 1, enable-lora: true}. None that a setting renders.",
        examples=[{"seed": 1}],
    )
    extra_env: dict[VariableName, str] = Field(
        default_factory=dict,
        description="Further environment variables. None that a setting renders.",
        examples=[{"VLLM_LOGGING_LEVEL": "DEBUG"}],
    )

    @field_validator("image")
    @classmethod
    def _image_is_pinned(cls, value: str) -> str:
        return value if re.fullmatch(r"[a-z][a-z0-9-]*", value) else require_pinned_image(value)

    @model_serializer(mode="wrap")
    def _without_unused_later_settings(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        untouched = VllmSettings.model_construct()
        return {
            name: value
            for name, value in handler(self).items()
            if name in FIRST_SETTINGS or getattr(self, name) != getattr(untouched, name, None)
        }

    def replica_settings(self) -> dict[str, Any]:
        """What a replica is made of: all but how many there are and how they are replaced."""
        return self.model_dump(exclude=set(OF_ALL_REPLICAS))

    @property
    def cards_per_replica(self) -> int:
        """How many cards one replica takes."""
        return self.tensor_parallel_size * self.pipeline_parallel_size if self.device == "cuda" else 0
