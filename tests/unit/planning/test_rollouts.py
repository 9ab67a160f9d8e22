"""How replicas are replaced when nobody says."""

from __future__ import annotations

from typing import Any

import pytest

from planning.memory.cards import card_of
from planning.rules.modes import RolloutMode
from planning.rules.rollouts import has_room_for_two, rollout_mode
from planning.settings.areas import GpuSettings
from planning.settings.vllm import VllmSettings

CARD = card_of(GpuSettings(name="NVIDIA GeForce RTX 5090"))


@pytest.mark.parametrize(
    ("settings", "mode"),
    [
        ({"replicas": 2}, "rolling"),
        ({"gpu_memory_utilization": 0.4}, "blue-green"),
        ({"gpu_memory_utilization": 0.9}, "recreate"),
        ({"device": "cpu"}, "recreate"),
        ({"device": "cpu", "replicas": 2}, "rolling"),
        ({"replicas": 2, "rollout": "recreate"}, "recreate"),
    ],
)
def test_auto_takes_the_way_that_costs_users_least(settings: dict[str, Any], mode: RolloutMode) -> None:
    vllm = VllmSettings.model_validate(settings)
    assert rollout_mode(vllm, CARD if vllm.device == "cuda" else None) == mode


def test_what_others_use_on_a_card_is_no_room() -> None:
    vllm = VllmSettings(gpu_memory_utilization=0.45)
    assert has_room_for_two(vllm, CARD)
    assert not has_room_for_two(vllm, card_of(GpuSettings(name="NVIDIA GeForce RTX 5090", reserved_gib=4)))
