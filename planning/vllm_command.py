"""The command line and environment of one vLLM replica, rendered from settings. Pure."""

from __future__ import annotations

import json

from planning.settings import InlineModel, VllmSettings

API_PORT = 8000  # inside the network; never published on the host
STABLE_ALIAS = "default"  # served beside the repo id, so that a model switch changes no client


def vllm_command(
    model: InlineModel, settings: VllmSettings, model_path: str, config_path: str, *, entrypoint: list[str]
) -> list[str]:
    """Arguments after the image's entrypoint, or the whole command where the image has another one."""
    flags = {
        "--config": config_path,  # carries the API key, which must not stand on a command line
        "--served-model-name": f"{STABLE_ALIAS} {model.repo}",
        "--host": "0.0.0.0",
        "--port": str(API_PORT),
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
    if model.tool_call_parser:
        flags["--tool-call-parser"] = model.tool_call_parser
    if model.max_new_tokens:
        flags["--override-generation-config"] = json.dumps({"max_new_tokens": model.max_new_tokens})
    switches = ["--enable-auto-tool-choice"] if model.tool_call_parser else []
    switches += ["--enforce-eager"] if settings.enforce_eager else []
    rendered = [part for flag, value in flags.items() for part in _flag(flag, value)]
    return [*entrypoint, model_path, *rendered, *switches]


def _flag(flag: str, value: str) -> list[str]:
    """--served-model-name takes several words, everything else one."""
    return [flag, *value.split()] if flag == "--served-model-name" else [flag, value]


def vllm_environment(settings: VllmSettings) -> dict[str, str]:
    """Variables of one replica: offline, no telemetry, media redirects off."""
    environment = {
        "HOME": "/home/vllm",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "VLLM_MEDIA_URL_ALLOW_REDIRECTS": "0",
        "VLLM_MAX_N_SEQUENCES": "64",  # the default of 16384 lets one request fill the batch
    }
    if settings.device == "cpu":
        # Without it vLLM wants 92 % of a NUMA node's memory and refuses to start.
        environment["VLLM_CPU_KVCACHE_SPACE"] = str(settings.cpu_kv_cache_gib)
    return environment
