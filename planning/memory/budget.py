"""The memory planner: what vLLM will find on each card, computed before anything is touched.

The pieces are vLLM's own (v1/worker/gpu_worker.py, determine_available_memory): of a card's memory it may use the share
``gpu_memory_utilization``; weights, what is not PyTorch's, the peak of one step and CUDA graphs are taken from it; the
rest becomes KV cache. It refuses to start if that holds less than one request of ``max_model_len``. What it takes while
it serves and does not count has to have room on the card beside that share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor

from planning.hosts.minimum_versions import Version
from planning.memory.accounting import SAMPLER_BYTES, Accounting, accounting
from planning.memory.cards import Card
from planning.memory.model_sizes import GIB, WIDE_BYTES, kv_bytes, weights_gib
from planning.settings.model import Architecture, InlineModel
from planning.settings.vllm import VllmSettings

BLOCK_TOKENS = 16  # KV cache is handed out in blocks

# Beside the copies of sequences × vocabulary, fitted with them (accounting.py).
PEAK_FLOOR_GIB = 0.1
# What isn't PyTorch's: kernels, cuBLAS and attention workspaces, all-reduce buffers.
RUNTIME_GIB = 0.27  # measured 0.24-0.27 on an H100 (llm-d-planner), 0.22 with vLLM 0.26
# measured on an RTX 5090: 1.57 GiB consumed with 1.12 GiB of weights; since the log names no version, that may hold the
# sampler's counts, and a plan then has up to 0.15 GiB too many
RUNTIME_BLACKWELL_GIB = 0.45
RUNTIME_PIPELINE_GIB = 0.07  # measured on an H100 with PP 2 and 4
RUNTIME_NVLINK_GIB = 2.10  # measured 2.06-2.17 on H100s with TP 2 and 4: fused all-reduce workspaces
RUNTIME_PCIE_GIB = 0.80  # measured on two RTX 5090: 15.03 GiB consumed with 14.28 GiB of weights
# A CUDA graph: fixed part and a part for each layer. 0.91 GiB for 102 graphs of 32 layers (H100), 0.52 and 0.81 for 86
# graphs of 40 and 64 layers, 0.09 for 9 graphs of 64 layers (RTX 5090), 0.54 for 86 of 28 layers (H100, vLLM 0.26).
GRAPH_MIB, GRAPH_LAYER_MIB = 2.0, 0.17
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
    sampler: float
    """What the sampler keeps for penalties."""
    runtime: float
    pinned: float
    graphs: float
    beside: float
    """vLLM's too, but not counted by it: taken of the card while it serves, on top of what it is allowed."""
    kv_bytes_per_token: float
    layers: int

    @property
    def needed(self) -> float:
        """Everything that vLLM counts but the KV cache."""
        return self.weights + self.activation + self.sampler + self.runtime + self.pinned + self.graphs

    @property
    def kv(self) -> float:
        """What is left for KV cache; negative where nothing is."""
        return self.allowed - self.needed

    @property
    def unused(self) -> float:
        """Neither vLLM's nor anybody's; negative where vLLM takes more than is free."""
        return self.total - self.outside - self.allowed - self.beside


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
    def has_room(self) -> bool:
        """Whether as much is free as vLLM asks for, and takes beside that."""
        return all(card.unused >= 0 for card in self.cards)

    @property
    def fits(self) -> bool:
        """Whether vLLM would start and serve: enough is free, and KV cache holds one request of the full length."""
        return self.has_room and self.kv_tokens >= self.max_model_len

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
    counted = accounting(shape, version)
    samples = stage == stages - 1 and model.writes
    activation = activation_gib(shape, vllm, card, counted, samples=samples)
    count = 0 if vllm.enforce_eager else graph_count(vllm.max_num_seqs, full=model.writes)
    graphs = count * (GRAPH_MIB + GRAPH_LAYER_MIB * layers) / 1024
    sampler = vllm.max_num_seqs * shape.vocab_size * counted.penalty_bytes / GIB if samples else 0.0
    beside = (0.0 if counted.counts_graphs else graphs) + (0.0 if counted.counts_consumed else sampler)
    if samples:
        beside += max(0.0, sampling_gib(shape, vllm, card, SAMPLER_BYTES) + PEAK_FLOOR_GIB - activation)
    return CardBudget(
        total=card.cuda_gib,
        outside=CONTEXT_GIB + card.reserved_gib + (NCCL_GIB if tensor * stages > 1 else 0),
        allowed=card.cuda_gib * vllm.gpu_memory_utilization,
        weights=max(0.0, weights_gib(model, vllm, layers, stage, card) - vllm.cpu_offload_gib),
        activation=activation,
        sampler=sampler if counted.counts_consumed else 0.0,
        runtime=_runtime_gib(vllm, card),
        pinned=counted.pinned,
        graphs=graphs if counted.counts_graphs else 0.0,
        beside=beside,
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


def sampling_gib(shape: Architecture, vllm: VllmSettings, card: Card, sampler_bytes: float) -> float:
    """The peak of sampling all sequences at once."""
    logits = vllm.max_num_seqs * shape.vocab_size * sampler_bytes / GIB
    return logits + _hidden_gib(shape, vllm, card)


def _hidden_gib(shape: Architecture, vllm: VllmSettings, card: Card) -> float:
    """One step's tokens between two layers."""
    return batched_tokens(vllm, card) * shape.hidden_size * _wide(vllm) / GIB


def _wide(vllm: VllmSettings) -> int:
    return 4 if vllm.dtype == "float32" else WIDE_BYTES


def activation_gib(
    shape: Architecture, vllm: VllmSettings, card: Card, counted: Accounting, *, samples: bool = True
) -> float:
    """The peak of one step beyond weights, as vLLM profiles it: of a forward pass, sampling, and encoding an image."""
    tokens, tensor, wide = batched_tokens(vllm, card), vllm.tensor_parallel_size, _wide(vllm)
    hidden = _hidden_gib(shape, vllm, card)
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
    sampling = sampling_gib(shape, vllm, card, counted.profiled_sampler_bytes)
    if not counted.second_runner:
        sampling += PEAK_FLOOR_GIB
    image = hidden if shape.vision_parameters else 0.0  # embedded images wait for the forward pass
    peak = max(forward, sampling if samples else 0.0) + image
    return max(peak, shape.vision_activation_gib) + workspace


def graph_count(max_num_seqs: int, *, full: bool = True) -> int:
    """How many CUDA graphs vLLM captures: piecewise ones up to twice the sequences, full ones up to the sequences.

    Models that write nothing have no ``full`` ones (config/vllm.py).
    """

    def sizes(largest: int) -> int:
        small = sum(size <= largest for size in (1, 2, 4))
        return small + len(range(8, min(largest + 1, 256), 8)) + len(range(256, largest + 1, 16))

    largest = min(2 * max_num_seqs, 512)
    return sizes(largest) + (sizes(min(max_num_seqs, largest)) if full else 0)
