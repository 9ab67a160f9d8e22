"""The catalog's numbers against published sizes, and models read from a directory."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from planning.memory.model_sizes import GIB, bytes_on_disk, weights_gib
from planning.memory.placement import uneven
from planning.models.catalog import catalog, resolve_model
from planning.models.local_directory import read_local_model
from planning.rules.model import OF_WRITING
from planning.settings.vllm import VllmSettings

# Parameters as the hub counts them, and bytes of all safetensors, where published.
PARAMETERS = {
    "smollm2-135m-instruct": 134_515_008, "qwen2.5-7b-instruct": 7_615_616_512, "qwen3-8b": 8_190_735_360,
    "qwen3-14b-awq": 14_768_307_200, "qwen3-32b-awq": 32_762_123_264, "qwen3-30b-a3b-awq": 30_532_122_624,
    "phi-3.5-mini-instruct": 3_821_079_552, "nanonets-ocr2-3b": 3_754_622_976, "glm-4.5-air-awq": 106_850_000_000,
    "smollm2-360m-instruct": 361_821_120, "qwen3-4b-instruct-2507": 4_022_468_096, "phi-4-mini-instruct": 3_836_021_760,
    "phi-4": 14_659_507_200, "qwen3-embedding-0.6b": 595_776_512, "qwen3-reranker-0.6b": 595_776_512,
    "qwen3-embedding-4b": 4_021_774_336, "qwen3-embedding-8b": 7_567_295_488, "qwen3-reranker-4b": 4_021_784_576,
}  # fmt: skip
WEIGHTS_GIB = {
    "smollm2-135m-instruct": 0.2506, "qwen2.5-7b-instruct": 14.19, "qwen3-8b": 15.26, "qwen3-14b-awq": 9.29,
    "qwen3-32b-awq": 18.00, "qwen3-30b-a3b-awq": 15.65, "glm-4.5-air-awq": 59.07, "phi-4-mini-instruct": 7.145,
}  # fmt: skip


@pytest.mark.parametrize("name", catalog())
def test_computed_parameters_are_the_published_ones(name: str) -> None:
    shape = catalog()[name].architecture
    assert shape
    assert shape.parameters == pytest.approx(PARAMETERS[name], rel=1e-4)


@pytest.mark.parametrize("name", WEIGHTS_GIB)
def test_computed_weights_are_what_lies_on_disk(name: str) -> None:
    computed = catalog()[name].model_copy(update={"bytes_on_disk": None})
    assert weights_gib(computed, VllmSettings()) == pytest.approx(WEIGHTS_GIB[name], rel=0.003)


@pytest.mark.parametrize("name", [name for name, model in catalog().items() if model.bytes_on_disk])
def test_the_size_on_disk_is_that_of_the_dimensions(name: str) -> None:
    known = catalog()[name]
    computed = known.model_copy(update={"bytes_on_disk": None})
    assert bytes_on_disk(known) == pytest.approx(bytes_on_disk(computed), rel=0.003)


@pytest.mark.parametrize("name", [name for name, model in catalog().items() if not model.writes])
def test_a_model_that_writes_nothing_has_nothing_that_is_for_writing(name: str) -> None:
    model = catalog()[name]
    assert [getattr(model, field) for field in OF_WRITING] == [None] * len(OF_WRITING)


@pytest.mark.parametrize("name", catalog())
def test_every_number_names_its_source(name: str) -> None:
    model = catalog()[name]
    assert model.architecture
    assert model.architecture.source
    assert model.quantization is None or model.quantization.source


def test_two_models_alone_have_no_commit() -> None:
    assert {name for name, model in catalog().items() if not model.pinned} == {"glm-4.5-air-awq", "nanonets-ocr2-3b"}


def test_a_quantized_model_splits_only_into_whole_groups() -> None:
    moe = catalog()["qwen3-30b-a3b-awq"]
    assert uneven(moe, 2) is None
    assert "groups of 128" in (uneven(moe, 4) or "")


CONFIG: dict[str, Any] = {
    "model_type": "qwen3", "num_hidden_layers": 2, "hidden_size": 64, "intermediate_size": 128,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 1000,
    "max_position_embeddings": 4096, "tie_word_embeddings": True,
}  # fmt: skip


def write_model(directory: Path, config: dict[str, Any], tensors: dict[str, int]) -> Path:
    directory.mkdir(exist_ok=True)
    (directory / "config.json").write_text(json.dumps(config))
    at, header = 0, {}
    for name, size in tensors.items():
        header[name] = {"dtype": "BF16", "shape": [size // 2], "data_offsets": [at, at + size]}
        at += size
    text = json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()
    (directory / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + bytes(at))
    return directory


def test_a_directory_says_exactly_how_big_its_model_is(tmp_path: Path) -> None:
    model = resolve_model(str(write_model(tmp_path / "My Model", CONFIG, {"a": 1000, "b": 2048})))
    assert model.bytes_on_disk == 3048
    assert model.repo == "local/My-Model"
    assert model.context_limit == 4096
    assert model.tool_call_parser == "hermes"
    assert model.architecture
    assert (model.architecture.kv_heads, model.architecture.head_size) == (2, 16)


def test_weights_from_a_directory_are_planned_by_their_exact_size(tmp_path: Path) -> None:
    model = read_local_model(write_model(tmp_path / "m", CONFIG, {"a": 10**6}))
    assert weights_gib(model, VllmSettings()) * GIB == pytest.approx(10**6)
    assert weights_gib(model, VllmSettings(tensor_parallel_size=2)) * GIB == pytest.approx(10**6 / 2)


def test_quantization_and_experts_are_read_from_config_json(tmp_path: Path) -> None:
    config = {
        **CONFIG, "model_type": "glm4_moe", "n_routed_experts": 8, "num_experts_per_tok": 2,
        "moe_intermediate_size": 32, "n_shared_experts": 1, "first_k_dense_replace": 1,
        "quantization_config": {
            "quant_method": "compressed-tensors",
            "config_groups": {"group_0": {"weights": {"num_bits": 4, "group_size": 32, "symmetric": True}}},
        },
    }  # fmt: skip
    model = read_local_model(write_model(tmp_path / "m", config, {"a": 2}))
    assert model.quantization
    assert (model.quantization.bits, model.quantization.group_size, model.quantization.zero_points) == (4, 32, False)
    assert model.architecture
    assert (model.architecture.experts, model.architecture.dense_layers) == (8, 1)
    assert model.reasoning_parser == "glm45"


def test_the_language_model_of_a_multimodal_one_is_found(tmp_path: Path) -> None:
    config = {"model_type": "qwen2_5_vl", "vision_config": {"depth": 1}, "text_config": CONFIG}
    model = read_local_model(write_model(tmp_path / "m", config, {"visual.a": 200, "model.b": 100}))
    assert model.multimodal
    assert model.architecture
    assert model.architecture.vision_parameters == 100


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        (lambda folder: (folder / "config.json").write_text("[]"), "not an object"),
        (lambda folder: (folder / "config.json").write_text("{}"), "lacks"),
        (lambda folder: (folder / "config.json").unlink(), "config.json"),
        (lambda folder: (folder / "model.safetensors").unlink(), "no safetensors"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"\xff" * 64), "not a safetensors file"),
    ],
)
def test_a_broken_directory_is_refused_with_its_reason(tmp_path: Path, break_it: Any, says: str) -> None:
    folder = write_model(tmp_path / "m", CONFIG, {"a": 2})
    break_it(folder)
    with pytest.raises((OSError, ValueError), match=says):
        read_local_model(folder)
