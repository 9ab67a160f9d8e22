"""Stack files: what a good one becomes, and how a bad one is refused."""

from __future__ import annotations

from typing import Any

import pytest

from planning.problems import BadStackFile, Problem
from planning.stack import plan_stack

GOOD: dict[str, Any] = {
    "model": "smollm2-135m-instruct",
    "vllm": {"image": "vllm-cpu", "device": "cpu", "max_model_len": 8192},
}
KEY = "x" * 40


def faults(
    settings: dict[str, Any], secrets: dict[str, Any] | None = None, *, clear: list[str] | None = None
) -> list[Problem]:
    with pytest.raises(BadStackFile) as raised:
        plan_stack("dev", settings, secrets or {}, clear or [])
    return list(raised.value.problems)


def test_a_good_stack_file_becomes_a_plan() -> None:
    plan = plan_stack("dev", GOOD, {"api_keys": {"alice": KEY}})
    assert plan.prefix == "pageindex-dev"
    assert plan.model.repo == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert plan.vllm_image == "vllm/vllm-openai-cpu:v0.32.0-x86_64"
    assert plan.model_directory.startswith("HuggingFaceTB--SmolLM2-135M-Instruct/")


# key at fault, the file's content beside GOOD, a word of the reason, a piece of the mending line
BAD_SETTINGS = [
    ("model", {"model": 5}, "string", "model smollm2"),
    ("model", {"model": "gpt-17"}, "catalog", "model smollm2"),
    ("model.revision", {"model": {"repo": "a/b", "revision": "main", "context_limit": 10}}, "pattern", "model.revision"),
    ("model.context_limit", {"model": {"repo": "a/b", "revision": "0" * 40}}, "required", "model.context_limit 8192"),
    ("vllm", {"vllm": "fast"}, "dictionary", "config rm -s dev vllm"),
    ("vllm.image", {"vllm": {"image": "vllm-cuba"}}, "images.compose.yaml", "vllm.image vllm-cpu"),
    ("vllm.image", {"vllm": {"image": "vllm/vllm-openai:latest"}}, "latest", "vllm.image vllm-cpu"),
    ("vllm.image", {"vllm": {"image": "vllm/vllm-openai"}}, "pinned", "vllm.image vllm-cpu"),
    ("vllm.max_model_len", {"vllm": {"max_model_len": -1}}, "greater", "vllm.max_model_len 8192"),
    ("vllm.max_model_len", {"vllm": {"max_model_len": "8k"}}, "integer", "vllm.max_model_len 8192"),
    ("vllm.max_model_len", {"vllm": {"max_model_len": 9000}}, "at most 8192", "vllm.max_model_len 8192"),
    ("vllm.gpu_memory_utilization", {"vllm": {"gpu_memory_utilization": 1.5}}, "less", "utilization 0.9"),
    ("vllm.shm_gib", {"vllm": {"shm_gib": -2}}, "greater", "vllm.shm_gib 1.0"),
    ("vllm.flash", {"vllm": {"flash": True}}, "unknown key", "config rm -s dev --path vllm.flash"),
    ("gateway.api_port", {"gateway": {"api_port": 0}}, "greater", "gateway.api_port 8000"),
    ("gateway.api_port", {"gateway": {"api_port": 65536}}, "less", "gateway.api_port 8000"),
    ("gateway.app_port", {"gateway": {"app_port": "http"}}, "integer", "gateway.app_port 3000"),
    ("gateway.app_port", {"gateway": {"app_port": 8000}}, "differ", "gateway.app_port 3000"),
    ("gateway.clients.Al", {"gateway": {"clients": {"Al": {}}}}, "pattern", "config rm -s dev --path gateway.clients.Al"),
    ("pageindex.max_upload_mib", {"pageindex": {"max_upload_mib": 80}}, "(50)", "pageindex.max_upload_mib 50"),
    ("gateway.bind", {"gateway": {"bind": "0.0.0.0"}}, "loopback", "gateway.bind 127.0.0.1"),
    ("gateway.bind", {"gateway": {"bind": "localhost"}}, "IPv4", "gateway.bind 127.0.0.1"),
    ("gateway.max_body_mib", {"gateway": {"max_body_mib": -50}}, "greater", "gateway.max_body_mib 50"),
    ("host.docker", {"host": {"docker": "tcp://10.0.0.5:2375"}}, "pattern", "host.docker ssh://"),
    ("pageindex.answer", {"pageindex": {"answer": "magic"}}, "agent", "pageindex.answer two-step"),
    ("pageindex.answer", {"pageindex": {"answer": "agent"}}, "tool_call_parser", "pageindex.answer two-step"),
    ("modell", {"modell": "x"}, "unknown key", "config rm -s dev modell"),
]  # fmt: skip


@pytest.mark.parametrize(("key", "content", "reason", "mend"), BAD_SETTINGS)
def test_a_bad_setting_is_refused_by_name_with_reason_and_mending_command(
    key: str, content: dict[str, Any], reason: str, mend: str
) -> None:
    found = {problem.key: problem for problem in faults({**GOOD, **content})}
    assert key in found, list(found)
    assert reason in found[key].reason
    assert mend in found[key].mend


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
