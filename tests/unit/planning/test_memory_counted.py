"""What each version of vLLM counts and what it does not, and what 0.26 was seen to take on a real card."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

from planning.memory.accounting import PINNED_GIB, accounting
from planning.memory.budget import plan_memory
from planning.memory.cards import CARDS
from planning.memory.model_sizes import weights_gib
from planning.memory.table import verdict
from planning.models.catalog import catalog
from planning.settings.model import InlineModel, Quantization
from planning.settings.vllm import VllmSettings
from tests.unit.planning.test_memory import H100, LLAMA_8B, MIXTRAL, QWEN_7B, RTX5090


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One run of vLLM 0.26 with dummy weights on one H100: 79.18 GiB, 8192 tokens and 256 sequences a step."""

    settings: dict[str, Any]
    weights: float
    activation: float
    kv: float
    tokens: int
    runtime: float = 0.22
    graphs: float = 0.0


V26 = (0, 26, 0)
H100_SEEN = replace(CARDS["NVIDIA H100 80GB HBM3"], cuda_gib=79.18)
SEEN = {
    "smollm2-135m-instruct": Seen(
        settings={"max_model_len": 8192, "gpu_memory_utilization": 0.50, "enforce_eager": True},
        weights=0.26, activation=0.13, kv=38.98, tokens=1_816_672,
    ),
    "qwen2.5-7b-instruct": Seen(
        settings={"max_model_len": 16384, "gpu_memory_utilization": 0.30},
        weights=14.29, activation=1.13, kv=8.11, tokens=151_920, graphs=0.54,
    ),
    "qwen3-32b-awq": Seen(
        settings={"max_model_len": 32768, "gpu_memory_utilization": 0.80, "enforce_eager": True},
        weights=18.60, activation=1.48, kv=43.04, tokens=176_272,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("name", "seen"), SEEN.items(), ids=SEEN.keys())
def test_the_plan_is_what_vllm_said_on_a_real_card(name: str, seen: Seen) -> None:
    plan = plan_memory(catalog()[name], VllmSettings(max_num_seqs=256, **seen.settings), H100_SEEN, V26)
    card = plan.cards[0]
    assert card.weights == pytest.approx(seen.weights, rel=0.0075, abs=0.015)
    assert card.activation == pytest.approx(seen.activation, abs=0.05)
    assert card.runtime == pytest.approx(seen.runtime, abs=0.06)
    assert card.kv == pytest.approx(seen.kv, abs=0.11)
    assert plan.kv_tokens == pytest.approx(seen.tokens, rel=0.0125)
    # "KV cache was exactly allowed − weights − activation − not PyTorch's": nothing pinned, and graphs on top.
    assert card.pinned == card.graphs == 0
    assert card.beside >= seen.graphs


@pytest.mark.parametrize(("name", "weights"), [("glm-4.5-air-awq", 59.18), ("qwen3-30b-a3b-awq", 15.70)])
def test_weights_of_experts_are_what_vllm_said_on_a_real_card(name: str, weights: float) -> None:
    card = plan_memory(catalog()[name], VllmSettings(), H100_SEEN, V26).cards[0]
    assert card.weights == pytest.approx(weights, rel=0.007)


def test_graphs_that_vllm_does_not_count_have_room_beside_its_share() -> None:
    settings = VllmSettings(max_num_seqs=256, gpu_memory_utilization=0.9)
    [old], [new] = (plan_memory(QWEN_7B, settings, H100, version).cards for version in (V26, (0, 32, 0)))
    assert new.graphs == pytest.approx(0.54, abs=0.05)
    assert old.beside > new.graphs
    assert old.beside + old.needed == pytest.approx(new.beside + new.needed), "the same memory, counted otherwise"
    full = settings.model_copy(update={"gpu_memory_utilization": 0.99})
    assert not plan_memory(QWEN_7B, full, H100, V26).has_room


def test_sampling_that_vllm_does_not_count_has_room_beside_its_share() -> None:
    settings = VllmSettings(max_num_seqs=1024, gpu_memory_utilization=0.95)
    plan = plan_memory(QWEN_7B, settings, RTX5090)
    assert plan.cards[0].beside > 1.5
    assert not plan.has_room
    assert "for sampling" in verdict(plan)
    few = settings.model_copy(update={"max_num_seqs": 16})
    assert plan_memory(QWEN_7B, few, RTX5090).has_room


def test_a_model_that_answers_with_vectors_samples_nothing() -> None:
    embedder = QWEN_7B.model_copy(update={"task": "embedding"})
    [card] = plan_memory(embedder, VllmSettings(max_num_seqs=1024), RTX5090).cards
    assert card.sampler == card.beside == 0


@pytest.mark.parametrize(
    ("version", "experts", "second", "graphs", "pinned"),
    [
        ((0, 19, 0), False, False, False, 0),
        ((0, 24, 0), False, False, True, 0),
        ((0, 26, 0), False, True, False, 0),
        ((0, 26, 0), True, False, True, 0),
        ((0, 28, 0), False, True, False, PINNED_GIB),
        ((0, 29, 0), True, True, True, PINNED_GIB),
        ((0, 31, 0), False, True, True, 0),
        (None, True, True, True, 0),
    ],
)
def test_each_version_counts_in_its_way(version: Any, experts: bool, second: bool, graphs: bool, pinned: float) -> None:
    shape = (MIXTRAL if experts else LLAMA_8B).architecture
    assert shape
    counted = accounting(shape, version)
    assert (counted.second_runner, counted.counts_graphs, counted.pinned) == (second, graphs, pinned)


def awq(**more: Any) -> InlineModel:
    kind = Quantization.model_validate({"method": "awq", "bits": 4, "group_size": 128, "zero_points": True} | more)
    return LLAMA_8B.model_copy(update={"quantization": kind})


@pytest.mark.parametrize(
    ("quantization", "card", "more"),
    [
        ({}, "H100 80GB HBM3", True),
        ({"method": "compressed-tensors"}, "H200", True),
        ({"method": "compressed-tensors", "zero_points": False}, "H100 80GB HBM3", False),
        ({"method": "gptq"}, "H100 80GB HBM3", False),
        ({"group_size": 32}, "H100 80GB HBM3", False),
        ({}, "A100-SXM4-80GB", False),
        ({}, "GeForce RTX 5090", False),
    ],
)
def test_zero_points_are_wide_where_vllm_takes_hoppers_kernels(
    quantization: dict[str, Any], card: str, more: bool
) -> None:
    model = awq(**quantization)
    there = weights_gib(model, VllmSettings(), card=CARDS[f"NVIDIA {card}"])
    assert (there > weights_gib(model, VllmSettings())) is more
