"""How large a model is: its weights in memory and on disk, and a value of its KV cache."""

from __future__ import annotations

from planning.memory.cards import Card
from planning.settings.model import Architecture, InlineModel
from planning.settings.vllm import VllmSettings

GIB = 2**30
WIDE_BYTES = 2  # bytes of an unquantized weight and of a value in a step

# vLLM takes its Machete kernels on Hopper alone, for weights of 4 and 8 bits in these groups (kernels/linear/
# mixed_precision/machete.py); on other cards, and for experts, Marlin's. GPTQ as it reads it has no zero points.
MACHETE_CAPABILITY = 9.0
MACHETE_GROUPS = (64, 128)
MACHETE_METHODS = ("awq", "compressed-tensors")
# What a group takes more than on disk. Machete keeps its zero point in 16 bits in place of 4, which is 1.5 bytes and
# 0.34 GiB of Qwen3-32B-AWQ; vLLM 0.26 took 0.60 more on an H100 (18.60 GiB), and nobody has explained the rest.
MACHETE_GROUP_BYTES = 2.63


def weights_gib(
    model: InlineModel, vllm: VllmSettings, layers: int | None = None, stage: int = 0, card: Card | None = None
) -> float:
    """Weights of one card of a stage with ``layers`` layers, GiB: as they lie on disk, or as ``card`` holds them."""
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
    if card:
        inner += _repacked_bytes(model, shape, card)
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


def _repacked_bytes(model: InlineModel, shape: Architecture, card: Card) -> float:
    """What all layers' weights take more in the card's kernels than on disk."""
    quantized = model.quantization
    if (
        quantized is None
        or card.compute_capability != MACHETE_CAPABILITY
        or not quantized.zero_points
        or quantized.method not in MACHETE_METHODS
        or quantized.group_size not in MACHETE_GROUPS
    ):
        return 0.0
    parameters = shape.linear_parameters - shape.expert_parameters - quantized.unquantized_parameters
    return max(0, parameters) / quantized.group_size * MACHETE_GROUP_BYTES


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
