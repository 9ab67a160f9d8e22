"""The `vllm` of the stand-in GPU images: what it checks and what it takes back, apart from vLLM itself."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import logging
from argparse import Namespace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from lab import recipes


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module, with no card yet; vLLM's defaults are this file's."""
    path = recipes.IMAGES / "vllm-gpu" / "vllm"
    loader = importlib.machinery.SourceFileLoader("vllm_stand_in", str(path))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    monkeypatch.setattr(module, "defaults", arguments)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("VLLM_CPU_KVCACHE_SPACE", raising=False)
    return module


def arguments(**given: Any) -> Namespace:
    usual: dict[str, Any] = {
        "model": "model", "model_tag": None, "tensor_parallel_size": 1, "pipeline_parallel_size": 1,
        "data_parallel_size": 1, "gpu_memory_utilization": 0.92, "quantization": None, "kv_cache_dtype": "auto",
        "max_model_len": None, "max_num_batched_tokens": None, "enable_chunked_prefill": None,
        "limit_mm_per_prompt": {}, "middleware": [], "reasoning_parser": "", "enforce_eager": False,
        "max_num_seqs": None,
    }  # fmt: skip
    return Namespace(**usual | given)


def with_cards(monkeypatch: pytest.MonkeyPatch, program: ModuleType, *rows: list[str]) -> None:
    monkeypatch.setattr(program, "nvidia_smi", lambda *_: list(rows))


RTX_5090 = ["32607", "494", "32111"]


def test_a_container_without_cards_is_no_gpu_machine(monkeypatch: pytest.MonkeyPatch, program: ModuleType) -> None:
    with_cards(monkeypatch, program)
    with pytest.raises(RuntimeError, match="Failed to infer device type"):
        program.check_cards(arguments())


def test_more_parts_than_cards_are_refused_in_vllms_words(monkeypatch: pytest.MonkeyPatch, program: ModuleType) -> None:
    with_cards(monkeypatch, program, RTX_5090)
    with pytest.raises(ValueError, match=r"World size \(2\) is larger than the number of available GPUs \(1\)"):
        program.check_cards(arguments(tensor_parallel_size=2))
    with_cards(monkeypatch, program, RTX_5090, RTX_5090)
    program.check_cards(arguments(tensor_parallel_size=2))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    with pytest.raises(ValueError, match="World size"):
        program.check_cards(arguments(tensor_parallel_size=2))


def test_a_card_that_others_fill_is_refused_in_vllms_words(
    monkeypatch: pytest.MonkeyPatch, program: ModuleType
) -> None:
    with_cards(monkeypatch, program, ["32607", "494", "20000"])
    with pytest.raises(ValueError, match=r"Free memory on device cuda:0 \(19\.53/31\.36 GiB\) on startup is less"):
        program.check_cards(arguments(gpu_memory_utilization=0.8))
    program.check_cards(arguments(gpu_memory_utilization=0.5))


def test_unified_memory_says_nothing_about_what_is_free(monkeypatch: pytest.MonkeyPatch, program: ModuleType) -> None:
    with_cards(monkeypatch, program, ["[N/A]", "[N/A]", "[N/A]"])
    program.check_cards(arguments())


def test_what_a_cpu_cannot_do_is_taken_back_and_named(
    monkeypatch: pytest.MonkeyPatch, program: ModuleType, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"max_position_embeddings": 8192}))
    (tmp_path / "tokenizer.json").write_text(json.dumps({"added_tokens": [{"content": "<|im_end|>"}]}))
    with_cards(monkeypatch, program, RTX_5090, RTX_5090)
    args = arguments(
        model_tag=str(tmp_path), tensor_parallel_size=2, quantization="awq_marlin", kv_cache_dtype="fp8",
        gpu_memory_utilization=0.8, max_model_len=32768, reasoning_parser="qwen3", max_num_seqs=256,
    )  # fmt: skip
    with caplog.at_level(logging.WARNING):
        program.on_cpu(args)
    assert vars(args) | {"model": "", "model_tag": ""} == vars(
        arguments(model="", model_tag="", max_model_len=8192, enforce_eager=True, max_num_seqs=256)
    )
    said = [record.getMessage() for record in caplog.records]
    assert "--tensor-parallel-size 2: dropped, the CPU has no use for it" in said
    assert "--max-model-len 32768: 8192 instead, the most that the served model has" in said
    assert "--reasoning-parser qwen3: dropped, the served model's tokenizer has no </think>" in said
    assert len(said) == 8


def test_both_gpu_images_stand_on_the_cpus_and_are_never_pulled() -> None:
    for name in recipes.GPU_IMAGES:
        assert recipes.for_gpu(name)
    assert recipes.find(recipes.GPU_IMAGES[0]).base == recipes.CPU_VLLM
    assert not recipes.for_gpu(recipes.CPU_VLLM)


def test_the_usual_lab_makes_no_gpu_image() -> None:
    from lab.commands import stand_in_names

    assert not [name for name in stand_in_names() if recipes.for_gpu(name)]


PIXEL = "data:image/png;base64,iVBORw0KGgo="


def images_as_text() -> ModuleType:
    path = recipes.IMAGES / "vllm-gpu" / "images_as_text.py"
    spec = importlib.util.spec_from_file_location("images_as_text", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def request_with(*urls: str) -> bytes:
    content = [{"type": "text", "text": "Read."}] + [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    return json.dumps({"model": "default", "messages": [{"role": "user", "content": content}]}).encode()


def test_an_image_that_the_real_model_would_read_becomes_a_word() -> None:
    changed = json.loads(images_as_text().without_images(request_with(PIXEL), 1))
    assert changed["messages"][0]["content"] == [{"type": "text", "text": "Read."}, {"type": "text", "text": "[image]"}]


@pytest.mark.parametrize(
    "body",
    [
        request_with(PIXEL, PIXEL),
        request_with("https://media.invalid/a.png"),
        request_with("data:image/png;base64,not base64"),
        request_with("data:text/html;base64,aGk="),
        request_with(),
        b"no JSON",
        b'{"messages": 7}',
    ],
)
def test_a_request_that_the_real_model_would_refuse_or_take_as_it_is_stays_so(body: bytes) -> None:
    assert images_as_text().without_images(body, 1) == body


def test_images_are_taken_where_the_command_line_allows_some(
    monkeypatch: pytest.MonkeyPatch, program: ModuleType
) -> None:
    monkeypatch.setenv("STAND_IN_IMAGES_PER_PROMPT", "0")
    args = arguments(limit_mm_per_prompt={"image": 2})
    program.read_no_images(args)
    assert args.middleware == ["images_as_text.ImagesAsText"]
    assert program.os.environ["STAND_IN_IMAGES_PER_PROMPT"] == "2"
