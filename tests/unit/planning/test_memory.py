"""The memory planner against what vLLM was measured to do.

Sources: vLLM 0.19 on an H100 of 79.19 GiB at utilization 0.95, 8192 tokens and 1024 sequences a step
(llm-d-incubation/llm-d-planner, accuracy/accuracy_report.md: actual figures, or its own prediction over its published
error); a public log of one RTX 5090; vLLM 0.32's log on a CPU.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from planning.memory.accounting import accounting
from planning.memory.budget import activation_gib, graph_count, plan_memory
from planning.memory.cards import CARDS
from planning.memory.cpu_budget import plan_cpu
from planning.memory.model_sizes import GIB, kv_bytes, weights_gib
from planning.models.catalog import catalog
from planning.settings.model import Architecture, InlineModel, Quantization
from planning.settings.vllm import VllmSettings

H100 = replace(CARDS["NVIDIA H100 80GB HBM3"], cuda_gib=79.19)
RTX5090 = replace(CARDS["NVIDIA GeForce RTX 5090"], cuda_gib=31.36)
V19 = (0, 19, 0)


def shaped(
    layers: int, hidden: int, inner: int, heads: int, kv: int, size: int, words: int, **more: Any
) -> InlineModel:
    shape = Architecture(
        layers=layers, hidden_size=hidden, intermediate_size=inner, heads=heads, kv_heads=kv, head_size=size,
        vocab_size=words, **more,
    )  # fmt: skip
    return InlineModel(repo="a/b", revision="unpinned", context_limit=10**6, architecture=shape)


def catalogued(name: str, *, quantized: bool = True) -> InlineModel:
    model = catalog()[name]
    return model if quantized else model.model_copy(update={"quantization": None})


LLAMA_8B = shaped(32, 4096, 14336, 32, 8, 128, 128256)
MIXTRAL = shaped(32, 4096, 14336, 32, 8, 128, 32000, experts=8, experts_per_token=2, expert_size=14336)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """GiB of one card as vLLM logged them; KV cache where it was logged or follows from the report's errors."""

    model: InlineModel
    weights: float
    activation: float
    runtime: float
    kv: float | None = None
    tokens: int | None = None
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def needed(self) -> float:
        return self.weights + self.activation + self.runtime


QWEN_7B = catalogued("qwen2.5-7b-instruct")
RUNS = {
    "qwen2.5-7b": Measured(model=QWEN_7B, weights=14.25, activation=2.21, runtime=0.24, kv=58.53, tokens=1_096_000),
    "qwen2.5-7b fp8 kv": Measured(
        model=QWEN_7B, weights=14.25, activation=2.21, runtime=0.24, kv=58.53, tokens=2_192_000,
        settings={"kv_cache_dtype": "fp8"},
    ),
    "qwen2.5-7b tp2": Measured(
        model=QWEN_7B, weights=7.12, activation=2.21, runtime=2.06, settings={"tensor_parallel_size": 2}
    ),
    "qwen2.5-7b tp4": Measured(
        model=QWEN_7B, weights=3.55, activation=2.21, runtime=2.13, settings={"tensor_parallel_size": 4}
    ),
    "llama-8b": Measured(model=LLAMA_8B, weights=14.99, activation=1.89, runtime=0.25, kv=58.11, tokens=476_016),
    "llama-8b fp8 kv": Measured(
        model=LLAMA_8B, weights=14.99, activation=1.89, runtime=0.25, kv=58.11, tokens=952_032,
        settings={"kv_cache_dtype": "fp8"},
    ),
    "llama-8b float32": Measured(
        model=LLAMA_8B, weights=29.98, activation=2.21, runtime=0.25, kv=42.80, tokens=175_296,
        settings={"dtype": "float32"},
    ),
    "llama-8b fp8 weights": Measured(
        model=LLAMA_8B, weights=8.49, activation=1.89, runtime=0.25, kv=64.61, settings={"quantization": "fp8"}
    ),
    "llama-8b tp2": Measured(
        model=LLAMA_8B, weights=7.51, activation=1.89, runtime=2.07, settings={"tensor_parallel_size": 2}
    ),
    "llama-8b tp4": Measured(
        model=LLAMA_8B, weights=3.77, activation=1.89, runtime=2.13, settings={"tensor_parallel_size": 4}
    ),
    "llama-8b pp2": Measured(
        model=LLAMA_8B, weights=7.51, activation=1.10, runtime=0.07, settings={"pipeline_parallel_size": 2}
    ),
    "llama-8b pp4": Measured(
        model=LLAMA_8B, weights=4.26, activation=1.05, runtime=0.07, settings={"pipeline_parallel_size": 4}
    ),
    "qwen3-8b": Measured(model=catalogued("qwen3-8b"), weights=15.27, activation=2.21, runtime=0.25, kv=57.50),
    "qwen3-14b": Measured(
        model=catalogued("qwen3-14b-awq", quantized=False), weights=27.52, activation=2.23, runtime=0.25, kv=45.23
    ),
    "qwen3-30b-a3b": Measured(
        model=catalogued("qwen3-30b-a3b-awq", quantized=False), weights=56.87, activation=2.68, runtime=0.27, kv=15.41
    ),
    "mixtral tp2": Measured(
        model=MIXTRAL, weights=43.50, activation=1.21, runtime=2.07, settings={"tensor_parallel_size": 2}
    ),
    "codellama-7b": Measured(
        model=shaped(32, 4096, 11008, 32, 32, 128, 32016), weights=12.56, activation=0.77, runtime=0.25
    ),
    "phi-4": Measured(
        model=shaped(40, 5120, 17920, 40, 10, 128, 100352), weights=27.39, activation=1.52, runtime=0.25
    ),
    "llama-70b fp8 tp2": Measured(
        model=shaped(80, 8192, 28672, 64, 8, 128, 128256).model_copy(
            update={"quantization": Quantization(method="fp8", bits=8, group_size=0, zero_points=False)}
        ),
        weights=33.88, activation=1.96, runtime=2.10, settings={"tensor_parallel_size": 2},
    ),
}  # fmt: skip


@pytest.fixture(params=RUNS.values(), ids=RUNS.keys())
def run(request: pytest.FixtureRequest) -> Measured:
    measured: Measured = request.param
    return measured


def settings_of(run: Measured) -> VllmSettings:
    return VllmSettings(max_num_seqs=1024, gpu_memory_utilization=0.95, **run.settings)


def test_weights_are_within_one_percent(run: Measured) -> None:
    assert weights_gib(run.model, settings_of(run), *_first_stage(run)) == pytest.approx(run.weights, rel=0.01)


def _first_stage(run: Measured) -> tuple[int, int]:
    assert run.model.architecture
    return run.model.architecture.layers // run.settings.get("pipeline_parallel_size", 1), 0


def test_all_but_kv_cache_is_within_five_percent_or_700_mib_and_never_500_mib_too_low(run: Measured) -> None:
    planned = plan_memory(run.model, settings_of(run), H100, V19).cards[0].needed
    assert abs(planned - run.needed) <= max(0.05 * run.needed, 0.7)
    assert planned >= run.needed - 0.5
    # The goal above is the promise; what the planner reaches is much closer, and must stay so.
    assert planned == pytest.approx(run.needed, abs=0.25)


def test_kv_cache_is_within_five_percent(run: Measured) -> None:
    plan = plan_memory(run.model, settings_of(run), H100, V19)
    if run.kv:
        assert plan.cards[0].kv == pytest.approx(run.kv, rel=0.05)
    if run.tokens:
        assert plan.kv_tokens == pytest.approx(run.tokens, rel=0.05)


# One RTX 5090 and AWQ models, from a public operator's log of 9 September: 256 sequences, defaults otherwise. Of what
# vLLM called consumed, 1.5 GiB were pinned by its profiling, which 0.32 does not do any more.
@pytest.mark.parametrize(
    ("name", "utilization", "needed", "tokens"),
    [("qwen3-32b-awq", 0.85, 20.04 + 1.46, 21_120), ("qwen3-14b-awq", 0.70, 11.22 + 1.46, 60_768)],
)
def test_awq_models_on_a_consumer_card(name: str, utilization: float, needed: float, tokens: int) -> None:
    settings = VllmSettings(max_num_seqs=256, gpu_memory_utilization=utilization, max_model_len=8192)
    plan = plan_memory(catalog()[name], settings, RTX5090, (0, 29, 0))
    assert plan.cards[0].needed == pytest.approx(needed, abs=0.3)
    assert plan.kv_tokens == pytest.approx(tokens, rel=0.05)


def test_tokens_on_the_cpu_are_what_vllm_logs() -> None:
    # "CPU KV cache size: 93,184 tokens, Maximum concurrency for 8,192 tokens per request: 11.38x"
    plan = plan_cpu(catalog()["smollm2-135m-instruct"], VllmSettings(device="cpu", cpu_kv_cache_gib=2))
    assert plan.kv_tokens == 93_184
    assert plan.kv_tokens / 8192 == pytest.approx(11.38, abs=0.01)


@pytest.mark.parametrize(
    ("name", "tensor", "tokens_per_gib"),
    [
        ("phi-3.5-mini-instruct", 1, 2730),
        ("qwen3-32b-awq", 1, 4096),
        ("qwen3-32b-awq", 2, 8192),
        ("qwen3-8b", 16, 58254),
    ],
)
def test_kv_cache_of_mha_and_gqa_and_of_more_cards_than_kv_heads(name: str, tensor: int, tokens_per_gib: int) -> None:
    shape = catalog()[name].architecture
    assert shape
    assert int(GIB / shape.kv_bytes_per_token(2, shape.layers, tensor)) == tokens_per_gib


def test_mla_keeps_one_compressed_vector_on_every_card() -> None:
    shape = shaped(27, 2048, 10944, 16, 16, 128, 102400, kv_lora_rank=512, qk_rope_head_size=64).architecture
    assert shape
    assert shape.kv_bytes_per_token(2, 27, 1) == 31_104
    assert shape.kv_bytes_per_token(2, 27, 4) == 31_104


def test_fp8_kv_doubles_the_tokens_and_leaves_the_pool_alone() -> None:
    wide, narrow = (
        plan_memory(QWEN_7B, VllmSettings(kv_cache_dtype=kind), H100) for kind in ("auto", "fp8")
    )  # fmt: skip
    assert narrow.cards == tuple(replace(card, kv_bytes_per_token=card.kv_bytes_per_token / 2) for card in wide.cards)
    assert narrow.kv_tokens == pytest.approx(2 * wide.kv_tokens, abs=16)
    assert kv_bytes(VllmSettings(dtype="float32")) == 4


def test_fewer_sequences_free_what_sampling_them_would_take() -> None:
    shape = QWEN_7B.architecture
    assert shape
    first = accounting(shape, V19)
    few, many = (activation_gib(shape, VllmSettings(max_num_seqs=count), H100, first) for count in (16, 1024))
    assert many - few > 0.8


def test_an_image_encoder_counts_where_it_peaks_higher_than_sampling() -> None:
    plan = plan_memory(catalog()["nanonets-ocr2-3b"], VllmSettings(max_num_seqs=5), RTX5090)
    assert plan.cards[0].activation == pytest.approx(1.9)


@pytest.mark.parametrize(("sequences", "graphs"), [(1, 3), (4, 7), (8, 9), (256, 51 + 35), (1024, 51 + 51)])
def test_graphs_are_counted_as_vllm_captures_them(sequences: int, graphs: int) -> None:
    assert graph_count(sequences) == graphs


def test_a_model_that_writes_nothing_has_no_graphs_of_whole_steps() -> None:
    embedder = QWEN_7B.model_copy(update={"task": "embedding"})
    writing, pooling = (plan_memory(model, VllmSettings(max_num_seqs=256), H100) for model in (QWEN_7B, embedder))
    assert pooling.cards[0].graphs == pytest.approx(writing.cards[0].graphs * 51 / 86)
    assert pooling.kv_tokens > writing.kv_tokens


def test_eager_mode_has_no_graphs() -> None:
    assert plan_memory(QWEN_7B, VllmSettings(enforce_eager=True), H100).cards[0].graphs == 0


def test_the_narrowest_pipeline_stage_decides() -> None:
    plan = plan_memory(catalog()["qwen3-32b-awq"], VllmSettings(pipeline_parallel_size=2), RTX5090)
    assert len(plan.cards) == 2
    assert sum(card.layers for card in plan.cards) == 64
    assert plan.kv_tokens <= min(card.kv * GIB / card.kv_bytes_per_token for card in plan.cards)


def test_on_unified_memory_the_system_has_its_share() -> None:
    gb10, glm = CARDS["NVIDIA GB10"], catalog()["glm-4.5-air-awq"]
    # Seen: "Free memory on device (100.94/121.69 GiB) on startup is less than desired … (0.835, 101.61 GiB)".
    assert not plan_memory(glm, VllmSettings(gpu_memory_utilization=0.9), gb10).has_room
    assert plan_memory(glm, VllmSettings(gpu_memory_utilization=0.75), gb10).fits


# What operators report as working or failing.
@pytest.mark.parametrize(
    ("name", "card", "settings", "fits"),
    [
        ("qwen3-32b-awq", "GeForce RTX 5090", {"gpu_memory_utilization": 0.85, "max_num_seqs": 256}, True),
        ("qwen3-32b-awq", "GeForce RTX 5090", {"gpu_memory_utilization": 0.85, "max_model_len": 40960}, False),
        ("qwen3-32b-awq", "GeForce RTX 5080", {}, False),
        ("qwen3-30b-a3b-awq", "GeForce RTX 4090", {"max_model_len": 16384}, True),
        ("qwen3-8b", "GeForce RTX 5080", {}, False),
        ("qwen3-14b-awq", "GeForce RTX 4090", {"max_model_len": 32768}, True),
        ("glm-4.5-air-awq", "GeForce RTX 5090", {}, False),
        ("phi-3.5-mini-instruct", "GeForce RTX 4090", {"max_model_len": 131072}, False),
        ("phi-3.5-mini-instruct", "GeForce RTX 4090", {"max_model_len": 32768}, True),
    ],
)
def test_the_verdict_is_right(name: str, card: str, settings: dict[str, Any], fits: bool) -> None:
    assert plan_memory(catalog()[name], VllmSettings(**settings), CARDS[f"NVIDIA {card}"]).fits is fits
