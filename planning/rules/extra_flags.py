"""Extra flags and variables: none may contradict a setting, weaken the isolation, or be unknown to vLLM."""

from __future__ import annotations

from planning.rules.draft import Draft
from planning.settings.errors import ConfigError, sounds_secret

# Flags that this stack renders itself, and where their value comes from.
OWNED_FLAGS = {
    "model": "model", "served-model-name": "model", "revision": "model", "tokenizer-revision": "model",
    "tool-call-parser": "model", "enable-auto-tool-choice": "model", "reasoning-parser": "model",
    "runner": "model", "convert": "model", "hf-overrides": "model", "override-generation-config": "model",
    "max-model-len": "vllm.max_model_len",
    "max-num-seqs": "vllm.max_num_seqs", "max-num-batched-tokens": "vllm.max_num_batched_tokens",
    "gpu-memory-utilization": "vllm.gpu_memory_utilization", "enforce-eager": "vllm.enforce_eager",
    "tensor-parallel-size": "vllm.tensor_parallel_size", "pipeline-parallel-size": "vllm.pipeline_parallel_size",
    "data-parallel-size": "vllm.replicas", "device-ids": "vllm.placement", "kv-cache-dtype": "vllm.kv_cache_dtype",
    "dtype": "vllm.dtype", "quantization": "vllm.quantization", "cpu-offload-gb": "vllm.cpu_offload_gib",
    "disable-custom-all-reduce": "vllm.custom_all_reduce", "limit-mm-per-prompt": "vllm.images_per_prompt",
    "max-num-queued-reqs": "vllm.max_queued_requests", "shutdown-timeout": "vllm.shutdown_timeout_s",
    "download-dir": "model_cache", "load-format": "model_cache", "kv-cache-memory-bytes": "vllm.gpu_memory_utilization",
    "config": "vllm", "host": "gateway", "port": "gateway.api_port", "uds": "gateway", "api-key": "api_keys",
    "ssl-certfile": "gateway", "ssl-keyfile": "gateway",
}  # fmt: skip
FORBIDDEN_FLAGS = {
    "trust-remote-code": "runs code that came with the weights",
    "allowed-media-domains": "lets requests make the server fetch from the network",
    "allowed-local-media-path": "lets requests read files of the server",
    "allow-deprecated-quantization": "loads formats that vLLM no longer checks",
    "enable-prompt-embeds": "lets requests crash the server",
    "middleware": "loads code into the server",
    "worker-extension-cls": "loads code into the server",
    "tool-parser-plugin": "loads code into the server",
    "reasoning-parser-plugin": "loads code into the server",
}
GONE_FLAGS = {
    "disable-log-requests": "gone since requests are not logged by default",
    "swap-space": "gone with vLLM's first engine",
    "task": "gone; --runner and --convert took its place",
    "device": "gone; the image decides",
    "max-seq-len-to-capture": "gone; the compilation config decides",
    "guided-decoding-backend": "gone; --structured-outputs-config took its place",
    "benchmark-prompts": "never was one; `vllm bench serve` measures",
}
OWNED_VARIABLES = {
    "HOME": "vllm.image", "CUDA_VISIBLE_DEVICES": "vllm.placement", "NVIDIA_VISIBLE_DEVICES": "vllm.placement",
    "VLLM_CPU_KVCACHE_SPACE": "vllm.cpu_kv_cache_gib", "VLLM_API_KEY": "api_keys", "HF_TOKEN": "hf_token",
    "HUGGING_FACE_HUB_TOKEN": "hf_token", "HF_ENDPOINT": "model_cache.endpoint", "NCCL_P2P_DISABLE": "vllm.nccl.p2p",
    "NCCL_IB_DISABLE": "vllm.nccl.infiniband", "NCCL_SHM_DISABLE": "vllm.nccl.shared_memory",
    "NCCL_DEBUG": "vllm.nccl.debug", "VLLM_MAX_N_SEQUENCES": "vllm", "VLLM_HOST_IP": "gateway",
    "VLLM_PORT": "gateway", "VLLM_CACHE_ROOT": "vllm", "TRITON_CACHE_DIR": "vllm", "TORCHINDUCTOR_CACHE_DIR": "vllm",
}  # fmt: skip
FORBIDDEN_VARIABLES = {
    "HF_HUB_OFFLINE": "the server must not reach the hub",
    "TRANSFORMERS_OFFLINE": "the server must not reach the hub",
    "VLLM_NO_USAGE_STATS": "nothing is reported to anybody",
    "DO_NOT_TRACK": "nothing is reported to anybody",
    "VLLM_MEDIA_URL_ALLOW_REDIRECTS": "requests must not make the server fetch from the network",
    "VLLM_SERVER_DEV_MODE": "opens routes that run any method of the server",
    "VLLM_ALLOW_INSECURE_SERIALIZATION": "unpickles what comes over the network",
    "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "lets requests load weights",
    "VLLM_PLUGINS": "loads code into the server",
    "VLLM_USE_MODELSCOPE": "the server must not reach a hub",
    "LD_PRELOAD": "loads code into the server",
    "PYTHONPATH": "loads code into the server",
}
# Variables that guides name and vLLM does not read; what they meant is a setting.
IMAGINED_VARIABLES = {
    "VLLM_MODEL": "model", "VLLM_TENSOR_PARALLEL_SIZE": "vllm.tensor_parallel_size",
    "VLLM_GPU_MEMORY_UTILIZATION": "vllm.gpu_memory_utilization", "VLLM_MAX_MODEL_LEN": "vllm.max_model_len",
    "VLLM_DTYPE": "vllm.dtype", "VLLM_QUANTIZATION": "vllm.quantization", "VLLM_MAX_NUM_SEQS": "vllm.max_num_seqs",
    "VLLM_KV_CACHE_DTYPE": "vllm.kv_cache_dtype", "VLLM_MAX_NUM_BATCHED_TOKENS": "vllm.max_num_batched_tokens",
    "VLLM_CPU_OFFLOAD_GB": "vllm.cpu_offload_gib", "VLLM_MAX_PARALLEL_REQUESTS": "vllm.max_num_seqs",
    "VLLM_REQUEST_TIMEOUT": "gateway.timeout_s", "VLLM_HF_MIRROR": "model_cache.endpoint",
    "VLLM_DOWNLOAD_TIMEOUT": "model_cache.download_timeout_s", "NCCL_VERSION": "vllm.image",
}  # fmt: skip


def extra_flag_errors(draft: Draft) -> list[ConfigError]:
    """Every extra flag and variable that must not be there."""
    vllm = draft.settings.vllm
    found = []
    for name, value in vllm.extra_flags.items():
        reason = _about_flag(name)
        if reason:
            found.append(_error(draft, "extra_flags", name, reason, None if sounds_secret(name) else str(value)))
    for name in vllm.extra_env:
        reason = _about_variable(name)
        if reason:
            found.append(_error(draft, "extra_env", name, reason, None))  # a value may be a secret
    return found


def _error(draft: Draft, field: str, name: str, reason: str, value: str | None) -> ConfigError:
    path = f"vllm.{field}.{name}"
    return ConfigError(path, reason, draft.rm_line(path), value)


def _about_flag(name: str) -> str | None:
    plain = name.removeprefix("no-")
    if plain in OWNED_FLAGS:
        return f"--{name} contradicts {OWNED_FLAGS[plain]}, which decides this"
    if plain in FORBIDDEN_FLAGS:
        return f"--{name} {FORBIDDEN_FLAGS[plain]}"
    if plain in GONE_FLAGS:
        return f"vLLM has no --{name}: {GONE_FLAGS[plain]}"
    return None


def _about_variable(name: str) -> str | None:
    if name in OWNED_VARIABLES:
        return f"contradicts {OWNED_VARIABLES[name]}, which decides this"
    if name in FORBIDDEN_VARIABLES:
        return FORBIDDEN_VARIABLES[name]
    if name in IMAGINED_VARIABLES:
        return f"vLLM reads no such variable; {IMAGINED_VARIABLES[name]} decides this"
    return None
