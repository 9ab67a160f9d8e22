"""Ways out of a plan that does not fit: each was planned, and does fit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from planning.memory.budget import plan_memory
from planning.memory.cards import CARDS, UnknownCard, card_of
from planning.memory.placement import BadPlacement, Replica, place
from planning.memory.suggestions import Situation, suggestions
from planning.memory.table import memory_table, verdict
from planning.models.catalog import catalog
from planning.settings.areas import GpuSettings, VllmSettings
from planning.settings.config_commands import set_value_line


def situation(name: str, card: str, count: int = 1, **settings: Any) -> Situation:
    return Situation(
        set_line=lambda path, value: set_value_line(path.split("."), value, "s"),
        model=catalog()[name],
        vllm=VllmSettings(**settings),
        card=CARDS[f"NVIDIA {card}"],
        card_count=count,
        version=None,
    )


CASES = [
    situation("qwen3-8b", "GeForce RTX 3090", max_model_len=40960, gpu_memory_utilization=0.85),
    situation("qwen3-32b-awq", "GeForce RTX 4090", count=2, max_model_len=16384),
    situation("qwen3-32b-awq", "GeForce RTX 5080"),
    situation("phi-3.5-mini-instruct", "GeForce RTX 4090", max_model_len=131072),
    situation("qwen2.5-7b-instruct", "GeForce RTX 4090", max_num_seqs=2048, max_model_len=32768),
    situation("glm-4.5-air-awq", "GB10", gpu_memory_utilization=0.95),
    situation("qwen3-14b-awq", "GeForce RTX 5080", max_model_len=32768),
]


@pytest.mark.parametrize("now", CASES, ids=lambda now: f"{now.model.repo} {now.card.name}")
def test_every_option_fits(now: Situation) -> None:
    assert not plan_memory(now.model, now.vllm, now.card, now.version).fits
    found = suggestions(now)
    assert found
    assert all(suggestion.plan.fits and suggestion.lines for suggestion in found)


def whats(now: Situation) -> list[str]:
    return [suggestion.what for suggestion in suggestions(now)]


def test_a_large_model_on_two_cards_is_split_over_both() -> None:
    now = situation("qwen3-32b-awq", "GeForce RTX 4090", count=2, max_model_len=16384, replicas=2)
    split = next(suggestion for suggestion in suggestions(now) if "split" in suggestion.what)
    assert split.lines == (
        "pulumi config set -s s --path vllm.tensor_parallel_size 2",
        "pulumi config set -s s --path vllm.replicas 1",
    )


def test_a_split_that_the_rules_refuse_is_not_suggested() -> None:
    now = situation("qwen3-32b-awq", "GeForce RTX 4090", count=2, max_model_len=16384, replicas=2)
    assert now.model.architecture is not None
    odd = now.model.architecture.model_copy(update={"vocab_size": now.model.architecture.vocab_size + 1})
    uneven_now = replace(now, model=now.model.model_copy(update={"architecture": odd}))
    assert any("split" in what for what in whats(now))
    assert not any("split" in what for what in whats(uneven_now)), "its vocabulary does not divide"


def test_fp8_kv_is_offered_only_to_cards_that_have_it() -> None:
    new, old = (
        situation("phi-3.5-mini-instruct", card, max_model_len=49152, gpu_memory_utilization=0.96)
        for card in ("GeForce RTX 4090", "GeForce RTX 3090")
    )
    assert any("fp8" in what for what in whats(new))
    assert not any("fp8" in what for what in whats(old))
    assert any("shorten" in what for what in whats(old))


def test_where_one_change_is_not_enough_two_are_offered() -> None:
    now = situation("qwen3-14b-awq", "GeForce RTX 5080", max_model_len=40960, gpu_memory_utilization=0.70)
    for suggestion in suggestions(now):
        assert suggestion.plan.fits


def test_smaller_models_are_offered_largest_first_and_must_do_what_this_one_does() -> None:
    offered = [what for what in whats(situation("qwen3-32b-awq", "GeForce RTX 5080")) if what.startswith("serve")]
    assert offered == ["serve qwen3-14b-awq", "serve qwen3-4b-instruct-2507"], (
        "the others are too large, or call no tools"
    )


def test_a_plan_within_the_planners_doubt_is_called_tight() -> None:
    card = CARDS["NVIDIA GeForce RTX 4090"]
    model = catalog()["qwen2.5-7b-instruct"]
    settings = VllmSettings(max_model_len=4096)
    tight = next(
        plan
        for share in range(60, 95)
        if (plan := plan_memory(model, settings.model_copy(update={"gpu_memory_utilization": share / 100}), card)).fits
    )
    assert tight.tight
    assert "only just" in verdict(tight)


def test_the_table_adds_up() -> None:
    plan = plan_memory(catalog()["qwen3-8b"], VllmSettings(pipeline_parallel_size=2), CARDS["NVIDIA GeForce RTX 4090"])
    assert "stage 0  stage 1" in memory_table(plan)
    for card in plan.cards:
        assert card.needed + card.kv == pytest.approx(card.allowed)
        assert card.allowed + card.beside + card.outside + card.unused == pytest.approx(card.total)


def test_replicas_get_the_next_cards_in_order_or_those_that_are_named() -> None:
    two = VllmSettings(replicas=2, tensor_parallel_size=2)
    assert place(two, 4) == (Replica(index=0, cards=(0, 1)), Replica(index=1, cards=(2, 3)))
    named = two.model_copy(update={"placement": [[3, 1], [0, 2]]})
    assert [replica.cards for replica in place(named, 4)] == [(3, 1), (0, 2)]
    assert place(VllmSettings(device="cpu", replicas=2), 0)[1] == Replica(index=1, cards=())
    with pytest.raises(BadPlacement, match="card 1 is given out 2 times"):
        place(two.model_copy(update={"placement": [[0, 1], [1, 2]]}), 4)


def test_a_card_outside_the_table_is_described_by_the_stack_file() -> None:
    card = card_of(GpuSettings(name="NVIDIA X", memory_mib=20480, compute_capability=9.0))
    assert card.cuda_gib == pytest.approx(19.1)
    with pytest.raises(UnknownCard, match="RTX 5090"):
        card_of(GpuSettings(name="NVIDIA X"))


def test_what_others_use_on_a_card_is_not_vllms() -> None:
    gpus = GpuSettings(name="NVIDIA GeForce RTX 4090", reserved_gib=3.0, nvlink=True)
    assert card_of(gpus).reserved_gib == 3.0
    assert card_of(gpus).nvlink
