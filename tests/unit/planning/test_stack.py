"""Stack files: what a good one becomes, and how a bad one is refused."""

from __future__ import annotations

from typing import Any

import pytest

from planning.plan import plan_stack
from planning.settings.errors import BadStackFile, ConfigError

GOOD: dict[str, Any] = {
    "model": "smollm2-135m-instruct",
    "vllm": {"image": "vllm-cpu", "device": "cpu", "max_model_len": 8192},
}
KEY = "x" * 40


def faults(
    settings: dict[str, Any], secrets: dict[str, Any] | None = None, *, clear: list[str] | None = None
) -> list[ConfigError]:
    with pytest.raises(BadStackFile) as raised:
        plan_stack("dev", settings, secrets or {}, clear or [])
    return list(raised.value.errors)


def test_a_good_stack_file_becomes_a_plan() -> None:
    plan = plan_stack("dev", GOOD, {"api_keys": {"alice": KEY}})
    assert plan.prefix == "pageindex-dev"
    assert plan.default.model.repo == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert plan.default.image == "vllm/vllm-openai-cpu:v0.32.0-x86_64"
    assert plan.default.directory.startswith("HuggingFaceTB--SmolLM2-135M-Instruct/")


def test_all_faults_come_at_once() -> None:
    bad = {"model": "gpt-17", "vllm": {"image": "x:latest", "foo": 1}, "gateway": {"api_port": 99999}, "nonsense": 1}
    keys = {problem.key for problem in faults(bad, {"api_keys": {"alice": "short"}}, clear=["api_keys"])}
    assert keys == {
        "model", "vllm.image", "vllm.foo", "gateway.api_port", "nonsense", "api_keys", "api_keys.alice",
    }  # fmt: skip


def test_a_refused_secret_is_not_repeated() -> None:
    with pytest.raises(BadStackFile) as raised:
        plan_stack("dev", GOOD, {"api_keys": {"alice": "tooshort-canary"}}, [])
    assert "api_keys.alice" in str(raised.value)
    assert "canary" not in str(raised.value)


def test_a_secret_in_clear_is_refused() -> None:
    found = faults(GOOD, {"api_keys": {"alice": KEY}}, clear=["api_keys"])
    assert [problem.key for problem in found] == ["api_keys"]
    assert "--secret" in found[0].mend


def test_a_client_without_a_key_is_refused() -> None:
    found = faults({**GOOD, "gateway": {"clients": {"bob": {"requests_per_minute": 5}}}}, {"api_keys": {"alice": KEY}})
    assert [problem.key for problem in found] == ["api_keys.bob"]


def test_a_gated_model_without_a_token_is_refused() -> None:
    gated = {"repo": "a/b", "revision": "0" * 40, "context_limit": 8192, "gated": True}
    found = faults({**GOOD, "model": gated})
    assert [problem.key for problem in found] == ["hf_token"]
    assert found[0].mend == "pulumi config set -s dev --secret hf_token"
