"""A model read from a directory: dimensions from config.json, exact sizes from the headers of its safetensors files."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from planning.settings.model import UNPINNED, Architecture, InlineModel, Quantization

MAX_HEADER_BYTES = 100_000_000  # the format's own limit
METHODS = {"awq", "compressed-tensors", "gptq", "fp8"}
TOOL_PARSERS = {"qwen2": "hermes", "qwen3": "hermes", "qwen3_moe": "hermes", "glm4_moe": "glm45"}
REASONING_PARSERS = {"qwen3": "qwen3", "qwen3_moe": "qwen3", "glm4_moe": "glm45"}


def read_local_model(directory: Path) -> InlineModel:
    """What ``directory`` holds. ValueError or OSError says what is missing."""
    config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    if not isinstance(config, dict):
        raise ValueError(f"{directory}/config.json is not an object")
    weights = tensor_bytes(directory)
    text = config.get("text_config") or config  # multimodal models nest the language model
    kind = str(config.get("model_type", ""))
    name = re.sub(r"[^\w.-]", "-", directory.resolve().name) or "model"
    try:
        return InlineModel(
            repo=f"local/{name}",
            revision=UNPINNED,
            context_limit=text["max_position_embeddings"],
            tool_call_parser=TOOL_PARSERS.get(kind),
            reasoning_parser=REASONING_PARSERS.get(kind),
            multimodal="vision_config" in config,
            architecture=_architecture(text, vision=sum(_vision(weights).values())),
            quantization=_quantization(config.get("quantization_config")),
            bytes_on_disk=sum(weights.values()),
            source=f"config.json and safetensors headers of {directory}",
        )
    except KeyError as error:
        raise ValueError(f"{directory}/config.json lacks {error}") from None
    except ValidationError as error:
        raise ValueError(f"{directory}/config.json: {error.errors()[0]['loc']}: {error.errors()[0]['msg']}") from None


def tensor_bytes(directory: Path) -> dict[str, int]:
    """Name and size of every tensor in the directory's safetensors files, read from their headers alone."""
    sizes: dict[str, int] = {}
    for file in sorted(directory.glob("*.safetensors")):
        with file.open("rb") as stream:
            start = stream.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else MAX_HEADER_BYTES + 1
            if length > MAX_HEADER_BYTES:
                raise ValueError(f"{file} is not a safetensors file")
            header = json.loads(stream.read(length))
        for name, tensor in header.items():
            if name != "__metadata__":
                first, last = tensor["data_offsets"]
                sizes[name] = last - first
    if not sizes:
        raise ValueError(f"{directory} has no safetensors files")
    return sizes


def _vision(weights: Mapping[str, int]) -> dict[str, int]:
    """Parameters of the vision tower, which is kept 16 bits wide."""
    return {
        name: size // 2 for name, size in weights.items() if name.startswith(("visual.", "model.visual.", "vision"))
    }


def _architecture(text: Mapping[str, Any], vision: int) -> Architecture:
    heads = text["num_attention_heads"]
    experts = text.get("num_experts") or text.get("n_routed_experts") or text.get("num_local_experts") or 0
    return Architecture(
        layers=text["num_hidden_layers"],
        hidden_size=text["hidden_size"],
        intermediate_size=text["intermediate_size"],
        heads=heads,
        kv_heads=text.get("num_key_value_heads") or heads,
        head_size=text.get("head_dim") or text["hidden_size"] // heads,
        vocab_size=text["vocab_size"],
        tied_embeddings=bool(text.get("tie_word_embeddings", False)),
        attention_bias=bool(text.get("attention_bias", text.get("model_type") == "qwen2")),
        experts=experts,
        experts_per_token=text.get("num_experts_per_tok", 0) if experts else 0,
        expert_size=(text.get("moe_intermediate_size") or text["intermediate_size"]) if experts else 0,
        shared_experts=text.get("n_shared_experts") or 0 if experts else 0,
        dense_layers=text.get("first_k_dense_replace") or 0 if experts else 0,
        kv_lora_rank=text.get("kv_lora_rank") or 0,
        qk_rope_head_size=text.get("qk_rope_head_dim") or 0,
        vision_parameters=vision,
        source="config.json",
    )


def _quantization(config: Any) -> Quantization | None:
    if not isinstance(config, dict) or config.get("quant_method") not in METHODS:
        return None
    groups = config.get("config_groups") or {}  # where compressed-tensors keeps what others keep at the top
    weights = next((group.get("weights") or {} for group in groups.values()), {})
    fp8 = config["quant_method"] == "fp8"
    return Quantization(
        method=config["quant_method"],
        bits=weights.get("num_bits") or config.get("bits") or (8 if fp8 else 4),
        group_size=max(0, weights.get("group_size") or config.get("group_size") or 0),
        zero_points=bool(config.get("zero_point", False)) or weights.get("symmetric") is False,
        source="config.json",
    )
