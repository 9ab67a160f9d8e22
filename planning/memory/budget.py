"""The memory planner: what vLLM will find on each card, computed before anything is touched.

The pieces are vLLM's own (v1/worker/gpu_worker.py, determine_available_memory): of a card's memory it may use the share
``gpu_memory_utilization``; weights, what is not PyTorch's, the peak of one step and CUDA graphs are taken from it; the
rest becomes KV cache. It refuses to start if that holds less than one request of ``max_model_len``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor

from planning.hosts.minimum_versions import Version
from planning.memory.cards import Card
from planning.memory.model_sizes import GIB, WIDE_BYTES, kv_bytes, weights_gib
from planning.settings.model import Architecture, InlineModel
from planning.settings.vllm import VllmSettings

BLOCK_TOKENS = 16  # KV cache is handed out in blocks

# Fitted to the 18 architectures that vLLM 0.19 was measured with on an H100, 8192 tokens and 1024 sequences a step
# (llm-d-planner, accuracy/accuracy_report.md): within 0.09 GiB of each. Most of the peak is the sampler's: copies of
# sequences × vocabulary in 16 and 32 bits. Before 0.17 the sampler sorted, and took 38.9 bytes.
SAMPLER_BYTES = 14.6
PEAK_FLOOR_GIB = 0.1
# What isn't PyTorch's: kernels, cuBLAS and attention workspaces, all-reduce buffers.
RUNTIME_GIB = 0.27  # measured 0.24-0.27 on an H100 (llm-d-planner)
RUNTIME_BLACKWELL_GIB = 0.45  # measured on an RTX 5090: 1.57 GiB consumed with 1.12 GiB of weights
RUNTIME_PIPELINE_GIB = 0.07  # measured on an H100 with PP 2 and 4
RUNTIME_NVLINK_GIB = 2.10  # measured 2.06-2.17 on H100s with TP 2 and 4: fused all-reduce workspaces
RUNTIME_PCIE_GIB = 0.80  # measured on two RTX 5090: 15.03 GiB consumed with 14.28 GiB of weights
# A CUDA graph: fixed part and a part for each layer. 0.91 GiB for 102 graphs of 32 layers (H100), 0.52 and 0.81 for 86
# graphs of 40 and 64 layers, 0.09 for 9 graphs of 64 layers (RTX 5090).
GRAPH_MIB, GRAPH_LAYER_MIB = 2.0, 0.17
GRAPHS_COUNTED_SINCE: Version = (0, 21, 0)
# Before 0.32 a small allocation could pin a large freed block during profiling, which then counted as consumed:
# 1.48 and 1.59 GiB on an RTX 5090. 0.32 limits splitting (gpu_worker.py, _scoped_allocator_max_split).
PINNED_GIB = 1.5
PINNED_SINCE, PINNED_UNTIL = (0, 21, 0), (0, 32, 0)
# Taken before vLLM measures what is free: CUDA context, measured 0.50 on an RTX 5090 (30.86 of 31.36 GiB free), and
# NCCL's buffers, measured 0.9-1.13 together on two (30.27 and 30.5 of 31.4 GiB free).
CONTEXT_GIB, NCCL_GIB = 0.5, 0.6
DOUBT_GIB = 0.5  # a plan that fits with less to spare than this is called tight


@dataclass(frozen=True, kw_only=True)
class CardBudget:
    """What one card of a replica holds, GiB."""

    total: float
    outside: float
    """Not vLLM's: CUDA context, NCCL, and what others use."""
    allowed: float
    """total × gpu_memory_utilization."""
    weights: float
    activation: float
    runtime: float
    pinned: float
    graphs: float
    kv_bytes_per_token: float
    layers: int

    @property
    def needed(self) -> float:
        """Everything of vLLM's but the KV cache."""
        return self.weights + self.activation + self.runtime + self.pinned + self.graphs

    @property
    def kv(self) -> float:
        """What is left for KV cache; negative where nothing is."""
        return self.allowed - self.needed

    @property
    def unused(self) -> float:
        """Neither vLLM's nor anybody's; negative where vLLM asks for more than is free."""
        return self.total - self.outside - self.allowed


@dataclass(frozen=True, kw_only=True)
class MemoryPlan:
    """What one replica will have. All replicas are alike."""

    cards: tuple[CardBudget, ...]
    """One per pipeline stage; the cards of a stage are alike."""
    kv_tokens: int
    max_model_len: int
    doubt_tokens: int
    """KV tokens that DOUBT_GIB is worth."""

    @property
    def starts(self) -> bool:
        """Whether as much is free as vLLM asks for."""
        return all(card.unused >= 0 for card in self.cards)

    @property
    def fits(self) -> bool:
        """Whether vLLM would start: enough is free, and KV cache holds one request of the full length."""
        return self.starts and self.kv_tokens >= self.max_model_len

    @property
    def tight(self) -> bool:
        """Fits, but within the planner's doubt."""
        return self.fits and self.kv_tokens - self.doubt_tokens < self.max_model_len

    @property
    def full_requests(self) -> float:
        """How many requests of the full length KV cache holds at once."""
        return self.kv_tokens / self.max_model_len

    @property
    def narrowest(self) -> CardBudget:
        """The stage that limits KV cache."""
        return min(self.cards, key=lambda card: card.kv / card.kv_bytes_per_token)


def plan_memory(model: InlineModel, vllm: VllmSettings, card: Card, version: Version | None = None) -> MemoryPlan:
    """Plan one replica on ``card``. ``version`` is vLLM's; without one, the newest known behaviour is assumed.

    The model must have its dimensions.
    """
    shape = model.architecture
    if shape is None:
        raise ValueError(f"{model.repo} has no dimensions")
    stages = tuple(
        _card_budget(model, shape, vllm, card, version, layers, stage)
        for stage, layers in enumerate(_split(shape.layers, vllm.pipeline_parallel_size))
    )
    tokens = min(stage.kv * GIB / stage.kv_bytes_per_token for stage in stages)
    doubt = max(DOUBT_GIB * GIB / stage.kv_bytes_per_token for stage in stages)
    return MemoryPlan(
        cards=stages,
        kv_tokens=max(0, floor(tokens / BLOCK_TOKENS) * BLOCK_TOKENS),
        max_model_len=vllm.max_model_len,
        doubt_tokens=floor(doubt),
    )


def _split(layers: int, stages: int) -> Sequence[int]:
    """Layers of each pipeline stage, as vLLM splits them: what's left over goes to the last ones but one."""
    each, rest = divmod(layers, stages)
    counts = [each] * stages
    for stage in range(2, rest + 2):
        counts[-stage] += 1
    return counts


def _card_budget(
    model: InlineModel,
    shape: Architecture,
    vllm: VllmSettings,
    card: Card,
    version: Version | None,
    layers: int,
    stage: int,
) -> CardBudget:
    tensor, stages = vllm.tensor_parallel_size, vllm.pipeline_parallel_size
    several = tensor * stages > 1
    graphs = 0 if vllm.enforce_eager else graph_count(vllm.max_num_seqs)
    return CardBudget(
        total=card.cuda_gib,
        outside=CONTEXT_GIB + card.reserved_gib + (NCCL_GIB if several else 0),
        allowed=card.cuda_gib * vllm.gpu_memory_utilization,
        weights=max(0.0, weights_gib(model, vllm, layers, stage) - vllm.cpu_offload_gib),
        activation=activation_gib(shape, vllm, card, last_stage=stage == stages - 1),
        runtime=_runtime_gib(vllm, card),
        pinned=PINNED_GIB if version and PINNED_SINCE <= version < PINNED_UNTIL else 0.0,
        graphs=(
            graphs * (GRAPH_MIB + GRAPH_LAYER_MIB * layers) / 1024
            if version is None or version >= GRAPHS_COUNTED_SINCE
            else 0.0
        ),
        kv_bytes_per_token=shape.kv_bytes_per_token(kv_bytes(vllm), layers, tensor),
        layers=layers,
    )


def _runtime_gib(vllm: VllmSettings, card: Card) -> float:
    if vllm.tensor_parallel_size > 1:
        return RUNTIME_NVLINK_GIB if card.nvlink else RUNTIME_PCIE_GIB
    if vllm.pipeline_parallel_size > 1:
        return RUNTIME_PIPELINE_GIB
    return RUNTIME_BLACKWELL_GIB if card.compute_capability >= 12 else RUNTIME_GIB


def batched_tokens(vllm: VllmSettings, card: Card) -> int:
    """Tokens in one step: the stack's, else vLLM's default for the card (engine/arg_utils.py, get_batch_defaults)."""
    if vllm.max_num_batched_tokens:
        return vllm.max_num_batched_tokens
    if card.cuda_gib >= 160:
        return 16384
    return 8192 if card.cuda_gib >= 70 and "A100" not in card.name else 2048


def activation_gib(shape: Architecture, vllm: VllmSettings, card: Card, *, last_stage: bool = True) -> float:
    """The peak of one step beyond weights: the larger of a forward pass, sampling, and encoding an image."""
    tokens, tensor = batched_tokens(vllm, card), vllm.tensor_parallel_size
    wide = 4 if vllm.dtype == "float32" else WIDE_BYTES
    hidden = tokens * shape.hidden_size * wide / GIB
    if shape.experts:
        size = shape.expert_size / tensor
        # The MoE kernels' two workspaces stay allocated, so they add to whatever peaks.
        workspace = tokens * shape.experts_per_token * (max(2 * size, shape.hidden_size) + size) * wide / GIB
        forward = 4 * hidden
    else:
        workspace = 0.0
        forward = 3 * tokens * shape.intermediate_size / tensor * wide / GIB + 4 * hidden
    if vllm.pipeline_parallel_size > 1:
        forward += 2 * hidden + PEAK_FLOOR_GIB  # buffers that go from stage to stage
    sampling = vllm.max_num_seqs * shape.vocab_size * SAMPLER_BYTES / GIB + hidden + PEAK_FLOOR_GIB
    image = hidden if shape.vision_parameters else 0.0  # embedded images wait for the forward pass
    peak = max(forward, sampling if last_stage else 0.0) + image
    return max(peak, shape.vision_activation_gib) + workspace


def graph_count(max_num_seqs: int) -> int:
    """How many CUDA graphs vLLM captures: piecewise ones up to twice the sequences, full ones up to the sequences."""

    def sizes(largest: int) -> int:
        small = sum(size <= largest for size in (1, 2, 4))
        return small + len(range(8, min(largest + 1, 256), 8)) + len(range(256, largest + 1, 16))

    largest = min(2 * max_num_seqs, 512)
    return sizes(largest) + sizes(min(max_num_seqs, largest))
