"""How a model is split over cards, and which number formats cards and weights have."""

from __future__ import annotations

from collections.abc import Iterator

from planning.memory.placement import uneven
from planning.rules.draft import Draft
from planning.settings.errors import ConfigError

METHOD_OF = {"awq_marlin": "awq", "gptq_marlin": "gptq"}  # vLLM's names for faster kernels of the same format


def parallel_errors(draft: Draft) -> Iterator[ConfigError]:
    """A layer can only be split where the parts come out even."""
    vllm, shape = draft.settings.vllm, draft.model.architecture if draft.model else None
    if vllm.device == "cpu":
        for name in ("tensor_parallel_size", "pipeline_parallel_size"):
            if getattr(vllm, name) > 1:
                reason = "device cpu has no cards to share a layer; replicas work"
                yield ConfigError(f"vllm.{name}", reason, draft.set_line(f"vllm.{name}", 1), str(getattr(vllm, name)))
        return
    if shape is None or draft.model is None:
        return
    odd = uneven(draft.model, vllm.tensor_parallel_size)
    if odd:
        others = vllm.pipeline_parallel_size * vllm.replicas
        most = min(vllm.tensor_parallel_size - 1, max(1, draft.card_count // others))
        fitting = max(size for size in range(1, most + 1) if not uneven(draft.model, size))
        yield ConfigError(
            "vllm.tensor_parallel_size",
            odd,
            draft.set_line("vllm.tensor_parallel_size", fitting),
            str(vllm.tensor_parallel_size),
        )
    if vllm.pipeline_parallel_size > shape.layers:
        yield ConfigError(
            "vllm.pipeline_parallel_size",
            f"{draft.model.repo} has {shape.layers} layers",
            draft.set_line("vllm.pipeline_parallel_size", 1),
            str(vllm.pipeline_parallel_size),
        )


def card_errors(draft: Draft) -> Iterator[ConfigError]:
    vllm = draft.settings.vllm
    if vllm.device == "cpu" or draft.card is None:
        return
    each, count = vllm.cards_per_replica, draft.card_count
    if each * vllm.replicas <= count or (draft.model and uneven(draft.model, vllm.tensor_parallel_size)):
        return
    reason = (
        f"{vllm.replicas} replicas × {vllm.tensor_parallel_size} (tensor) × {vllm.pipeline_parallel_size} (pipeline) "
        f"cards, but host.gpus.count is {count}"
    )
    if count >= each:
        mend = draft.set_line("vllm.replicas", count // each)
        yield ConfigError("vllm.replicas", reason, mend, str(vllm.replicas))
        return
    tensor = vllm.pipeline_parallel_size <= count
    name = "tensor_parallel_size" if tensor else "pipeline_parallel_size"
    most = max(1, count // vllm.tensor_parallel_size)
    if tensor and draft.model:
        sizes = range(1, count // vllm.pipeline_parallel_size + 1)
        most = max(size for size in sizes if not uneven(draft.model, size))
    yield ConfigError(f"vllm.{name}", reason, draft.set_line(f"vllm.{name}", most), str(getattr(vllm, name)))


def batching_errors(draft: Draft) -> Iterator[ConfigError]:
    vllm = draft.settings.vllm
    if vllm.max_num_batched_tokens is not None and vllm.max_num_batched_tokens < vllm.max_num_seqs:
        yield ConfigError(
            "vllm.max_num_batched_tokens",
            f"less than vllm.max_num_seqs ({vllm.max_num_seqs}): a step must hold a token of each sequence",
            draft.set_line("vllm.max_num_batched_tokens", max(2048, vllm.max_num_seqs)),
            str(vllm.max_num_batched_tokens),
        )
    if vllm.memory_gib is not None and vllm.shm_gib >= vllm.memory_gib:
        yield ConfigError(
            "vllm.shm_gib",
            f"shared memory counts towards vllm.memory_gib ({vllm.memory_gib})",
            draft.set_line("vllm.shm_gib", 1.0 if vllm.memory_gib > 1 else 0.5),
            str(vllm.shm_gib),
        )


def format_errors(draft: Draft) -> Iterator[ConfigError]:
    """Number formats that the card or the weights do not have."""
    vllm, model, card = draft.settings.vllm, draft.model, draft.card
    if vllm.kv_cache_dtype.startswith("fp8") and (vllm.device == "cpu" or (card and not card.fp8_kv)):
        where = "device cpu" if vllm.device == "cpu" or not card else f"{card.name} (compute capability below 8.9)"
        yield ConfigError(
            "vllm.kv_cache_dtype",
            f"{where} has no kernels for fp8 KV cache",
            draft.set_line("vllm.kv_cache_dtype", "auto"),
            vllm.kv_cache_dtype,
        )
    if vllm.device == "cpu" and vllm.cpu_offload_gib:
        yield ConfigError(
            "vllm.cpu_offload_gib",
            "on device cpu all weights are in host memory",
            draft.rm_line("vllm.cpu_offload_gib"),
            str(vllm.cpu_offload_gib),
        )
    if model is None:
        return
    asked = METHOD_OF.get(vllm.quantization or "", vllm.quantization)
    there = model.quantization.method if model.quantization else None
    if asked and asked != there and not (asked == "fp8" and there is None):
        yield ConfigError(
            "vllm.quantization",
            f"the weights of {model.repo} are {there or 'not quantized'}; without this setting vLLM reads that itself",
            draft.rm_line("vllm.quantization"),
            vllm.quantization,
        )
    if vllm.dtype == "float32" and there:
        yield ConfigError(
            "vllm.dtype",
            f"kernels for {there} weights compute in 16 bits",
            draft.set_line("vllm.dtype", "auto"),
            "float32",
        )
