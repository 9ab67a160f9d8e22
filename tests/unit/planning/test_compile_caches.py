"""Where a replica's compiled code is kept, and that nobody else's lies there."""

from __future__ import annotations

import itertools

from planning.memory.placement import Replica
from planning.services.compile_caches import CACHES_PATH, VARIABLES, caches_volume
from planning.services.vllm_command import vllm_environment
from planning.settings.vllm import VllmSettings

FIRST = Replica(index=0, cards=())


def test_another_image_card_stack_model_or_replica_is_another_volume() -> None:
    volumes = [
        caches_volume("pageindex-a", FIRST, "vllm:1", "L4"),
        caches_volume("pageindex-a", FIRST, "vllm:2", "L4"),
        caches_volume("pageindex-a", FIRST, "vllm:1", "L40S"),
        caches_volume("pageindex-a", FIRST, "vllm:1", ""),
        caches_volume("pageindex-a", FIRST, "vllm:2", ""),
        caches_volume("pageindex-b", FIRST, "vllm:1", "L4"),
        caches_volume("pageindex-a", Replica(index=1, cards=()), "vllm:1", "L4"),
        caches_volume("pageindex-a", Replica(index=0, cards=(), served="small"), "vllm:1", "L4"),
    ]
    assert all(one != other for one, other in itertools.combinations(volumes, 2))


def test_a_replica_that_moves_to_another_card_of_the_kind_keeps_its_volume() -> None:
    moved = Replica(index=0, cards=(3,))
    assert caches_volume("p", moved, "vllm:1", "L4") == caches_volume("p", FIRST, "vllm:1", "L4")


def test_everything_that_is_compiled_lies_in_the_volume() -> None:
    environment = vllm_environment(VllmSettings())
    assert VARIABLES.keys() == {"VLLM_CACHE_ROOT", "TRITON_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR"}
    for name in VARIABLES:
        assert environment[name].startswith(f"{CACHES_PATH}/"), name
