"""A model for which the stack file leaves no cards: the line that the message prints makes the file plan, at once."""

from __future__ import annotations

from typing import Any

import pytest

from planning.plan import StackPlan, plan_stack
from planning.settings.errors import BadStackFile, ConfigError
from tests.unit.planning.mending import apply, apply_all

KEYS = {"api_keys": {"al": "k" * 40}}
LARGE: dict[str, Any] = {"model": "qwen3-32b-awq", "max_model_len": 8192}
MIDDLE: dict[str, Any] = {"model": "qwen3-14b-awq", "max_model_len": 8192}
SMALL: dict[str, Any] = {"model": "qwen2.5-7b-instruct", "max_model_len": 8192}
TINY: dict[str, Any] = {"model": "smollm2-135m-instruct", "max_model_len": 4096}


def on(count: int, card: str = "GeForce RTX 5090", /, **models: Any) -> dict[str, Any]:
    return {
        "host": {"gpus": {"name": f"NVIDIA {card}", "count": count}},
        "models": models,
        "default_model": next(iter(models)),
    }


def refused(file: dict[str, Any]) -> list[ConfigError]:
    with pytest.raises(BadStackFile) as raised:
        plan_stack("s", file, KEYS)
    return list(raised.value.errors)


def mended(file: dict[str, Any]) -> StackPlan:
    """The plan after the printed lines, applied once."""
    return plan_stack("s", *apply_all(refused(file), file, KEYS))


def said(file: dict[str, Any], name: str) -> ConfigError:
    return next(error for error in refused(file) if error.key == f"models.{name}.placement")


def cards(plan: StackPlan) -> dict[str, list[int]]:
    return {served.name: [card for replica in served.replicas for card in replica.cards] for served in plan.models}


TWO_CARDS = on(2, large=LARGE, small=SMALL, tiny=TINY)
FIT: list[tuple[str, dict[str, Any], dict[str, list[int]]]] = [
    ("one card, and both without a placement", on(1, middle=MIDDLE, tiny=TINY), {"middle": [0], "tiny": [0]}),
    ("one card that somebody has", on(1, middle={**MIDDLE, "placement": [[0]]}, tiny=TINY),
     {"middle": [0], "tiny": [0]}),
    ("one card, and a share that leaves nothing", on(1, middle={**MIDDLE, "gpu_memory_utilization": 0.95}, tiny=TINY),
     {"middle": [0], "tiny": [0]}),
    ("one card, and two shares that do not go together",
     on(1, middle={**MIDDLE, "gpu_memory_utilization": 0.8}, tiny={**TINY, "gpu_memory_utilization": 0.6}),
     {"middle": [0], "tiny": [0]}),
    ("one card, and two models too many", on(1, middle=MIDDLE, tiny=TINY, other=TINY),
     {"middle": [0], "tiny": [0], "other": [0]}),
    ("two cards, and the room is on the second", TWO_CARDS, {"large": [0], "small": [1], "tiny": [1]}),
    ("two cards, and the room is on the first", on(2, small=SMALL, large=LARGE, tiny=TINY),
     {"small": [0], "large": [1], "tiny": [0]}),
    ("two cards, and two models too many", on(2, large=LARGE, tiny=TINY, other=TINY, middle=MIDDLE),
     {"large": [0], "tiny": [1], "other": [1], "middle": [1]}),
    ("two cards for one model, and it is the one that is left", on(2, tiny=TINY, large={**LARGE, "tensor_parallel_size":
     2}), {"tiny": [0], "large": [0, 1]}),
    ("two replicas, and one card", on(2, large=LARGE, middle={**MIDDLE, "replicas": 2}),
     {"large": [0], "middle": [1]}),
    ("three cards, and the last has room", on(3, large=LARGE, middle=MIDDLE, small=SMALL, tiny=TINY),
     {"large": [0], "middle": [1], "small": [2], "tiny": [1]}),
    ("three cards, and a placement that names one that isn't there",
     on(3, large=LARGE, middle=MIDDLE, tiny={**TINY, "placement": [[3]]}),
     {"large": [0], "middle": [1], "tiny": [2]}),
    ("one card twice", on(2, large=LARGE, middle={**MIDDLE, "placement": [[1], [1]], "replicas": 2}),
     {"large": [0], "middle": [1]}),
    ("a second card that isn't there", on(2, large={**LARGE, "placement": [[0, 2]], "tensor_parallel_size": 2},
     tiny=TINY), {"large": [0, 1], "tiny": [0]}),
]  # fmt: skip


@pytest.mark.parametrize(("what", "file", "where"), FIT, ids=[row[0] for row in FIT])
def test_the_printed_lines_put_each_model_where_it_fits(
    what: str, file: dict[str, Any], where: dict[str, list[int]]
) -> None:
    plan = mended(file)
    assert cards(plan) == where
    assert all(served.fit.memory and served.fit.memory.fits for served in plan.models)


def test_the_message_names_the_card_the_neighbours_and_the_shares() -> None:
    error = said(TWO_CARDS, "tiny")
    assert "none of them is nobody's" in error.reason
    assert "It fits on card 1 beside small, with these shares of its memory: small 0." in error.reason


def test_shares_that_the_file_says_stay_where_there_is_room_beside_them() -> None:
    file = on(1, middle={**MIDDLE, "gpu_memory_utilization": 0.6}, tiny=TINY)
    plan = mended(file)
    assert "gpu_memory_utilization" not in said(file, "tiny").mend
    assert {served.name: served.settings.gpu_memory_utilization for served in plan.models}["middle"] == 0.6


TOO_FULL: list[tuple[str, dict[str, Any], list[str]]] = [
    ("one card", on(1, large=LARGE, small=SMALL), ["large"]),
    ("two cards", on(2, large=LARGE, middle={**LARGE, "max_model_len": 16384}, small=SMALL), ["large", "middle"]),
    ("three cards of 24 GB", on(3, "GeForce RTX 4090", a=SMALL, b=SMALL, c=SMALL, d=SMALL), ["a", "b", "c"]),
]


@pytest.mark.parametrize(("what", "file", "stay"), TOO_FULL, ids=[row[0] for row in TOO_FULL])
def test_a_model_that_fits_nowhere_is_said_to_and_its_line_takes_it_out(
    what: str, file: dict[str, Any], stay: list[str]
) -> None:
    [error] = refused(file)
    assert "fits on no card beside the others: it needs" in error.reason
    assert "which has most left" in error.reason
    assert list(cards(mended(file))) == stay


def test_a_model_that_is_taken_out_is_mentioned_no_more() -> None:
    file = on(1, large=LARGE, small=SMALL)
    file["default_model"] = "small"
    file["pageindex"] = {"models": {"summary": "small"}}
    al = {"models": ["large", "small"], "model_requests_per_minute": {"small": 5}}
    file["gateway"] = {"clients": {"al": al, "bo": {"models": ["small"]}}}
    secrets = {"api_keys": {"al": "k" * 40, "bo": "b" * 40}}
    with pytest.raises(BadStackFile) as raised:
        plan_stack("s", file, secrets)
    [error] = raised.value.errors
    plan = plan_stack("s", *apply(error.mend, file, secrets))
    assert plan.default.name == "large"
    assert [limits.models for limits in plan.settings.gateway.clients.values()] == [["large"], ["large"]]


def test_another_models_fault_shows_in_the_same_go() -> None:
    file = on(2, large={**LARGE, "max_model_len": 40960}, small=SMALL, tiny=TINY)
    assert {error.key for error in refused(file)} == {"models.tiny.placement", "models.large.max_model_len"}
    mended(file)
