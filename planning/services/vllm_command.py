"""The command line and environment of one vLLM replica, rendered from settings. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from planning.hosts.names import STABLE_ALIAS, VLLM_PORT
from planning.services.compile_caches import VARIABLES
from planning.settings.model import InlineModel, Task
from planning.settings.vllm import NcclSettings, VllmSettings

# What vLLM makes of a model's architecture that was made to write text.
CONVERSIONS: Mapping[Task, str] = {"embedding": "embed", "rerank": "classify"}


def vllm_command(
    model: InlineModel, settings: VllmSettings, model_path: str, config_path: str, names: Sequence[str] = ()
) -> list[str]:
    """Arguments after the image's entrypoint. ``names`` are all that it answers to, by default two."""
    flags = {
        "--config": config_path,  # carries the API key, which must not stand on a command line
        "--served-model-name": " ".join(names or (STABLE_ALIAS, model.repo)),
        "--host": "0.0.0.0",
        "--port": str(VLLM_PORT),
        "--load-format": "safetensors",  # `auto` would fall back to pickled weights without a word
        "--max-model-len": str(settings.max_model_len),
        "--max-num-seqs": str(settings.max_num_seqs),
        "--max-num-queued-reqs": str(settings.max_queued_requests),
        "--shutdown-timeout": str(settings.shutdown_timeout_s),
        # An empty list would switch the check off (vllm#57157); this name resolves nowhere.
        "--allowed-media-domains": "media.invalid",
    }
    if settings.device == "cuda":
        flags["--gpu-memory-utilization"] = str(settings.gpu_memory_utilization)
    flags |= _tuning(settings)
    flags |= _pooling(model) if model.task in CONVERSIONS else _writing(model)
    if model.hf_overrides:
        flags["--hf-overrides"] = json.dumps(model.hf_overrides)
    switches = ["--enable-auto-tool-choice"] if "--tool-call-parser" in flags else []
    switches += ["--enforce-eager"] if settings.enforce_eager else []
    switches += [] if settings.custom_all_reduce else ["--disable-custom-all-reduce"]
    rendered = [part for flag, value in flags.items() for part in _flag(flag, value)]
    return [*settings.serve_command, model_path, *rendered, *switches, *_extras(settings)]


def _writing(model: InlineModel) -> dict[str, str]:
    """Flags for what a model writes."""
    flags: dict[str, str] = {}
    if model.reasoning_parser:
        flags["--reasoning-parser"] = model.reasoning_parser
    if model.tool_call_parser:
        flags["--tool-call-parser"] = model.tool_call_parser
    if model.max_new_tokens:
        flags["--override-generation-config"] = json.dumps({"max_new_tokens": model.max_new_tokens})
    return flags


def _pooling(model: InlineModel) -> dict[str, str]:
    """Flags for models that write nothing: one vector or score of each text."""
    return {"--runner": "pooling", "--convert": CONVERSIONS[model.task]}


def _tuning(settings: VllmSettings) -> dict[str, str]:
    """Flags of settings that are left to vLLM unless the stack file says something."""
    flags: dict[str, str | int | float | None] = {
        "--tensor-parallel-size": settings.tensor_parallel_size if settings.tensor_parallel_size > 1 else None,
        "--pipeline-parallel-size": settings.pipeline_parallel_size if settings.pipeline_parallel_size > 1 else None,
        "--kv-cache-dtype": settings.kv_cache_dtype if settings.kv_cache_dtype != "auto" else None,
        "--dtype": settings.dtype if settings.dtype != "auto" else None,
        "--quantization": settings.quantization,
        "--max-num-batched-tokens": settings.max_num_batched_tokens,
        "--cpu-offload-gb": settings.cpu_offload_gib or None,
    }
    if settings.images_per_prompt is not None:
        flags["--limit-mm-per-prompt"] = json.dumps({"image": settings.images_per_prompt})
    return {flag: str(value) for flag, value in flags.items() if value is not None}


def _extras(settings: VllmSettings) -> list[str]:
    """Further flags; true and false are how vLLM's own switches are turned on and off."""
    rendered = []
    for name, value in sorted(settings.extra_flags.items()):
        if isinstance(value, bool):
            rendered.append(f"--{name}" if value else f"--no-{name}")
        else:
            rendered += [f"--{name}", str(value)]
    return rendered


def _flag(flag: str, value: str) -> list[str]:
    """--served-model-name takes several words, everything else one."""
    return [flag, *value.split()] if flag == "--served-model-name" else [flag, value]


def vllm_environment(settings: VllmSettings) -> dict[str, str]:
    """Variables of one replica: offline, no telemetry, media redirects off, compiled code where it stays."""
    environment = {
        "HOME": "/home/vllm",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "VLLM_MEDIA_URL_ALLOW_REDIRECTS": "0",
        "VLLM_MAX_N_SEQUENCES": "64",  # the default of 16384 lets one request fill the batch
        **VARIABLES,
    }
    if settings.device == "cpu":
        # Without it vLLM wants 92 % of a NUMA node's memory and refuses to start.
        environment["VLLM_CPU_KVCACHE_SPACE"] = str(settings.cpu_kv_cache_gib)
    return {**environment, **_nccl(settings.nccl), **settings.extra_env}


def _nccl(settings: NcclSettings) -> dict[str, str]:
    """NCCL's variables switch things off; ours say what is on."""
    off = {
        "NCCL_P2P_DISABLE": settings.p2p,
        "NCCL_IB_DISABLE": settings.infiniband,
        "NCCL_SHM_DISABLE": settings.shared_memory,
    }
    variables = {name: "0" if wanted else "1" for name, wanted in off.items() if wanted is not None}
    return {**variables, "NCCL_DEBUG": settings.debug} if settings.debug else variables
