"""The command line and environment of a replica, setting by setting."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from planning.models.catalog import catalog
from planning.rules.extra_flags import FORBIDDEN_FLAGS, OWNED_FLAGS
from planning.services.vllm_command import vllm_command, vllm_environment
from planning.settings.vllm import FIRST_SETTINGS, NcclSettings, VllmSettings
from planning.stack_files import plan_of_file

ROOT = Path(__file__).resolve().parents[3]


def command(name: str = "qwen3-8b", **settings: Any) -> list[str]:
    return vllm_command(catalog()[name], VllmSettings(**settings), "/models/m", "/run/c.yaml")


def test_the_command_of_stack_dev_is_the_one_its_replicas_run() -> None:
    plan = plan_of_file(ROOT / "Pulumi.dev.yaml")
    assert vllm_command(plan.default.model, plan.settings.vllm, "/models/m", "/run/c.yaml") == [
        "/models/m", "--config", "/run/c.yaml",
        "--served-model-name", "default", "HuggingFaceTB/SmolLM2-135M-Instruct",
        "--host", "0.0.0.0", "--port", "8000", "--load-format", "safetensors",
        "--max-model-len", "8192", "--max-num-seqs", "8", "--max-num-queued-reqs", "256",
        "--shutdown-timeout", "20", "--allowed-media-domains", "media.invalid",
        "--override-generation-config", '{"max_new_tokens": 256}', "--enforce-eager",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "flag", "value"),
    [
        ({"tensor_parallel_size": 2}, "--tensor-parallel-size", "2"),
        ({"pipeline_parallel_size": 2}, "--pipeline-parallel-size", "2"),
        ({"kv_cache_dtype": "fp8"}, "--kv-cache-dtype", "fp8"),
        ({"dtype": "float16"}, "--dtype", "float16"),
        ({"quantization": "fp8"}, "--quantization", "fp8"),
        ({"max_num_batched_tokens": 4096}, "--max-num-batched-tokens", "4096"),
        ({"cpu_offload_gib": 8.0}, "--cpu-offload-gb", "8.0"),
        ({"images_per_prompt": 2}, "--limit-mm-per-prompt", '{"image": 2}'),
        ({"extra_flags": {"seed": 1}}, "--seed", "1"),
    ],
)
def test_a_knob_becomes_a_flag_only_when_it_is_turned(settings: dict[str, Any], flag: str, value: str) -> None:
    turned = command(**settings)
    assert turned[turned.index(flag) + 1] == value
    assert flag not in command()


def test_switches_are_turned_on_and_off() -> None:
    switched = command(custom_all_reduce=False, extra_flags={"enable-lora": True, "enable-prefix-caching": False})
    assert {"--disable-custom-all-reduce", "--enable-lora", "--no-enable-prefix-caching"} <= set(switched)


def test_an_image_with_its_own_entrypoint_gets_the_command_before_the_model() -> None:
    assert command(serve_command=["vllm", "serve"])[:3] == ["vllm", "serve", "/models/m"]


def test_parsers_come_from_the_catalog() -> None:
    glm = command("glm-4.5-air-awq")
    assert glm[glm.index("--tool-call-parser") + 1] == glm[glm.index("--reasoning-parser") + 1] == "glm45"
    assert "--enable-auto-tool-choice" in glm


def test_nccl_is_said_only_where_the_file_says_it() -> None:
    quiet = vllm_environment(VllmSettings())
    assert not any(name.startswith("NCCL") for name in quiet)
    nccl = NcclSettings(p2p=False, infiniband=False, shared_memory=True, debug="WARN")
    said = vllm_environment(VllmSettings(nccl=nccl, extra_env={"OMP_NUM_THREADS": "4"}))
    assert {name: said[name] for name in said.keys() - quiet.keys()} == {
        "NCCL_P2P_DISABLE": "1", "NCCL_IB_DISABLE": "1", "NCCL_SHM_DISABLE": "0", "NCCL_DEBUG": "WARN",
        "OMP_NUM_THREADS": "4",
    }  # fmt: skip


def test_a_setting_that_nobody_uses_does_not_change_a_replicas_hash() -> None:
    assert set(VllmSettings().model_dump()) == set(FIRST_SETTINGS)
    assert set(VllmSettings(replicas=2, nccl=NcclSettings(p2p=False)).model_dump()) == {
        *FIRST_SETTINGS, "replicas", "nccl",
    }  # fmt: skip


def test_no_flag_that_is_rendered_can_be_given_a_second_time_as_an_extra_one() -> None:
    everything = VllmSettings(
        device="cuda",
        tensor_parallel_size=2,
        pipeline_parallel_size=2,
        kv_cache_dtype="fp8",
        dtype="bfloat16",
        quantization="fp8",
        max_num_batched_tokens=2048,
        cpu_offload_gib=1.0,
        images_per_prompt=1,
        enforce_eager=True,
        custom_all_reduce=False,
    )
    rendered = set()
    for model in catalog().values():
        for settings in (everything, VllmSettings()):
            words = vllm_command(model, settings, "/models/m", "/run/c.yaml")
            rendered |= {word.removeprefix("--") for word in words if word.startswith("--")}
    assert {"max-model-len", "tool-call-parser", "limit-mm-per-prompt", "enforce-eager"} <= rendered
    assert rendered <= OWNED_FLAGS.keys() | FORBIDDEN_FLAGS.keys()


@pytest.mark.parametrize(
    ("name", "convert"), [("qwen3-embedding-4b", "embed"), ("qwen3-reranker-0.6b", "classify"), ("qwen3-8b", None)]
)
def test_a_model_that_writes_nothing_is_started_for_its_task(name: str, convert: str | None) -> None:
    given = command(name)
    assert ("--runner" in given, "--convert" in given) == (convert is not None,) * 2
    if convert:
        assert (given[given.index("--runner") + 1], given[given.index("--convert") + 1]) == ("pooling", convert)
        assert "--enable-auto-tool-choice" not in given
    assert ("--hf-overrides" in given) == (convert == "classify"), "it is read as another architecture"


def test_what_is_for_writing_is_no_flag_of_a_model_that_writes_nothing() -> None:
    meant = {"tool_call_parser": "hermes", "reasoning_parser": "qwen3", "max_new_tokens": 9}
    model = catalog()["qwen3-embedding-0.6b"].model_copy(update=meant)
    plain = vllm_command(catalog()["qwen3-embedding-0.6b"], VllmSettings(), "/models/m", "/run/c.yaml")
    assert vllm_command(model, VllmSettings(), "/models/m", "/run/c.yaml") == plain


def test_every_reranker_is_told_how_it_says_yes() -> None:
    rerankers = [name for name, model in catalog().items() if model.task == "rerank"]
    assert rerankers == ["qwen3-reranker-0.6b", "qwen3-reranker-4b"]
    for name in rerankers:
        given = command(name)
        assert json.loads(given[given.index("--hf-overrides") + 1]) == {
            "architectures": ["Qwen3ForSequenceClassification"],
            "classifier_from_token": ["no", "yes"],
            "is_original_qwen3_reranker": True,
        }
