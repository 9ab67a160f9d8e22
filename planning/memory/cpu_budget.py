"""The memory plan of a replica on the CPU, whose KV cache has a size of its own."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor

from planning.memory.model_sizes import GIB, kv_bytes, weights_gib
from planning.settings.model import InlineModel
from planning.settings.vllm import VllmSettings

CPU_BLOCK_TOKENS = 128  # KV cache is handed out in blocks
# Python, PyTorch and vLLM's processes; 3.3 GiB with 2 GiB of KV cache, which is touched only when used.
CPU_PROCESS_GIB = 3.0


@dataclass(frozen=True, kw_only=True)
class CpuPlan:
    """What one replica on the CPU will have."""

    weights: float
    kv: float
    processes: float
    kv_tokens: int
    kv_bytes_per_token: float
    max_model_len: int
    limit: float | None
    """The container's memory limit, GiB."""

    @property
    def needed(self) -> float:
        return self.weights + self.kv + self.processes

    @property
    def fits(self) -> bool:
        return self.kv_tokens >= self.max_model_len and (self.limit is None or self.needed <= self.limit)


def plan_cpu(model: InlineModel, vllm: VllmSettings) -> CpuPlan:
    """Plan one replica on the CPU."""
    shape = model.architecture
    if shape is None:
        raise ValueError(f"{model.repo} has no dimensions")
    each = shape.kv_bytes_per_token(kv_bytes(vllm), shape.layers, 1)
    tokens = vllm.cpu_kv_cache_gib * GIB / each
    return CpuPlan(
        weights=weights_gib(model, vllm),
        kv=float(vllm.cpu_kv_cache_gib),
        processes=CPU_PROCESS_GIB,
        kv_tokens=floor(tokens / CPU_BLOCK_TOKENS) * CPU_BLOCK_TOKENS,
        kv_bytes_per_token=each,
        max_model_len=vllm.max_model_len,
        limit=vllm.memory_gib,
    )
