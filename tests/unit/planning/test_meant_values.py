"""A mending line says what the user meant, wherever that can be read from what they wrote."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from planning.plan import plan_stack
from planning.settings.errors import BadStackFile
from tests.unit.planning.mending import apply
from tests.unit.planning.test_bad_stack_files import CARDS, CPU, KEY, merged

MEANT: list[tuple[dict[str, Any], dict[str, Any], str, Any]] = [
    # base, what the file says, key, what was meant
    (CPU, {"gateway": {"api_port": "8123"}}, "gateway.api_port", 8123),
    (CPU, {"gateway": {"api_port": " 8123 "}}, "gateway.api_port", 8123),
    (CPU, {"gateway": {"api_port": 8123.0}}, "gateway.api_port", 8123),
    (CPU, {"gateway": {"timeout_s": "600"}}, "gateway.timeout_s", 600),
    (CPU, {"gateway": {"affinity": "Session"}}, "gateway.affinity", "session"),
    (CPU, {"gateway": {"affinity": "sesion"}}, "gateway.affinity", "session"),
    (CPU, {"pageindex": {"answer": "two_step"}}, "pageindex.answer", "two-step"),
    (CPU, {"pageindex": {"answer": "TWO-STEP"}}, "pageindex.answer", "two-step"),
    (CPU, {"pageindex": {"memory_gib": "6.5"}}, "pageindex.memory_gib", 6.5),
    (CPU, {"pageindex": {"memory_gib": "6,5"}}, "pageindex.memory_gib", 6.5),
    (CPU, {"vllm": {"max_model_len": "4,096"}}, "vllm.max_model_len", 4096),
    (CPU, {"vllm": {"max_model_len": "4 096"}}, "vllm.max_model_len", 4096),
    (CPU, {"vllm": {"enforce_eager": "yes"}}, "vllm.enforce_eager", True),
    (CPU, {"vllm": {"rollback": "off"}}, "vllm.rollback", False),
    (CPU, {"vllm": {"extra_env": {"OMP_NUM_THREADS": 1}}}, "vllm.extra_env.OMP_NUM_THREADS", "1"),
    (CPU, {"vllm": {"restart": "unless_stopped"}}, "vllm.restart", "unless-stopped"),
    (CARDS, {"vllm": {"gpu_memory_utilization": 80}}, "vllm.gpu_memory_utilization", 0.8),
    (CARDS, {"vllm": {"gpu_memory_utilization": "80%"}}, "vllm.gpu_memory_utilization", 0.8),
    (CARDS, {"vllm": {"gpu_memory_utilization": "0,8"}}, "vllm.gpu_memory_utilization", 0.8),
]
MOVED: list[tuple[dict[str, Any], str, str, Any]] = [
    # what the file says, the mistyped key, the right one, its value
    ({"gatway": {"api_port": 8123}}, "gatway", "gateway.api_port", 8123),
    (
        {"Gateway": {"clients": {"al": {"requests_per_minute": 5}}}},
        "Gateway",
        "gateway.clients.al.requests_per_minute",
        5,
    ),
    ({"vllm": {"max_num_seq": 4}}, "vllm.max_num_seq", "vllm.max_num_seqs", 4),
    ({"vllm": {"maxNumSeqs": 4}}, "vllm.maxNumSeqs", "vllm.max_num_seqs", 4),
    ({"page_index": {"answer": "two-step"}}, "page_index", "pageindex.answer", "two-step"),
    ({"gateway": {"api-port": 8123}}, "gateway.api-port", "gateway.api_port", 8123),
]


def value_of(settings: dict[str, Any], key: str) -> Any:
    value: Any = settings
    for part in key.split("."):
        value = value[part]
    return value


def refused(settings: dict[str, Any], secrets: dict[str, Any]) -> Any:
    with pytest.raises(BadStackFile) as raised:
        plan_stack("s", settings, secrets)
    [error] = raised.value.errors
    return error


@pytest.mark.parametrize(("base", "content", "key", "meant"), MEANT, ids=lambda value: str(value)[:50])
def test_what_was_meant_is_what_the_line_sets(
    base: dict[str, Any], content: dict[str, Any], key: str, meant: Any
) -> None:
    settings, secrets = merged(base, content), {"api_keys": {"al": KEY}}
    error = refused(settings, secrets)
    assert error.key == key
    mended, _ = apply(error.mend, settings, secrets)
    assert value_of(mended, key) == meant
    assert type(value_of(mended, key)) is type(meant)
    plan_stack("s", mended, secrets)


@pytest.mark.parametrize(("content", "wrong", "right", "value"), MOVED, ids=lambda value: str(value)[:50])
def test_a_mistyped_key_takes_its_value_along(content: dict[str, Any], wrong: str, right: str, value: Any) -> None:
    settings, secrets = merged(CPU, content), {"api_keys": {"al": KEY}}
    error = refused(settings, secrets)
    assert error.key == wrong
    assert f"did you mean {right.split('.')[wrong.count('.')]}?" in error.reason
    mended, _ = apply(error.mend, settings, secrets)
    assert value_of(mended, right) == value
    plan_stack("s", mended, secrets)


@pytest.mark.parametrize(
    ("named", "meant"), [("Qwen3-8B", "qwen3-8b"), ("smollm2-135m-instuct", "smollm2-135m-instruct")]
)
def test_a_mistyped_model_is_mended_with_the_one_that_is_close(named: str, meant: str) -> None:
    error = refused({**copy.deepcopy(CPU), "model": named}, {})
    assert error.mend == f"pulumi config set -s s model {meant}"


@pytest.mark.parametrize("value", ["a lot", "32k", None, [8000]])
def test_what_cannot_be_read_is_mended_with_a_value_that_passes(value: Any) -> None:
    settings = merged(CPU, {"vllm": {"max_num_seqs": value}})
    error = refused(settings, {})
    mended, _ = apply(error.mend, settings, {})
    plan_stack("s", mended, {})


def test_a_secret_under_a_mistyped_key_is_not_moved_in_clear() -> None:
    error = refused(merged(CPU, {"ocr_kye": KEY}), {})
    assert KEY not in error.mend
