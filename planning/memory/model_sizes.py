"""How large a model is: its weights in memory and on disk, and a value of its KV cache."""

from __future__ import annotations

from planning.settings.model import Architecture, InlineModel
from planning.settings.vllm import VllmSettings

GIB = 2**30
WIDE_BYTES = 2  # bytes of an unquantized weight and of a value in a step


def weights_gib(model: InlineModel, vllm: VllmSettings, layers: int | None = None, stage: int = 0) -> float:
    """Weights of one card of a stage with ``layers`` layers, GiB."""
    shape = model.architecture
    if shape is None:
        raise ValueError(f"{model.repo} has no dimensions")
    layers = shape.layers if layers is None else layers
    wide = 4 if vllm.dtype == "float32" else WIDE_BYTES
    ends = (shape.embedding_parameters + shape.head_parameters + shape.vision_parameters) * wide
    if model.bytes_on_disk and wide == WIDE_BYTES and (model.quantization or vllm.quantization is None):
        inner = max(0.0, model.bytes_on_disk - ends)  # exact, whatever the layers are made of
    else:
        inner = _layer_bytes(model, shape, vllm, wide)
    here = inner * layers / shape.layers
    stages = vllm.pipeline_parallel_size
    if stage == 0:
        here += (shape.embedding_parameters + shape.vision_parameters) * wide
    if stage == stages - 1:
        tied = shape.tied_embeddings and stages > 1  # the last stage keeps a copy of its own
        here += (shape.embedding_parameters if tied else shape.head_parameters) * wide
    return here / vllm.tensor_parallel_size / GIB


def _layer_bytes(model: InlineModel, shape: Architecture, vllm: VllmSettings, wide: int) -> float:
    """All layers' weights, bytes."""
    if model.quantization:
        kept = model.quantization.unquantized_parameters
        packed = (shape.linear_parameters - kept) * model.quantization.bytes_per_weight
        return packed + (kept + shape.small_parameters) * wide
    each = 1.0 if vllm.quantization == "fp8" else float(wide)  # quantized while loading
    return shape.linear_parameters * each + shape.small_parameters * wide


def kv_bytes(vllm: VllmSettings) -> int:
    """Bytes of one value in KV cache."""
    if vllm.kv_cache_dtype.startswith("fp8"):
        return 1
    return 4 if vllm.dtype == "float32" and vllm.kv_cache_dtype == "auto" else WIDE_BYTES


def bytes_on_disk(model: InlineModel) -> int | None:
    """As the hub lists them, else computed from the model's dimensions; None where neither is known."""
    if model.bytes_on_disk or model.architecture is None:
        return model.bytes_on_disk
    return int(weights_gib(model, VllmSettings()) * GIB)  # whole, as it lies on disk
