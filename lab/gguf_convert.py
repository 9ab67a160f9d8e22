"""Turn the llama.cpp file of a Llama-shaped model into the safetensors that the model's Hub repository would hold.

Run by ``lab.small_model`` in an environment that has numpy, the only dependency: the same conversion through
transformers needs gigabytes of torch, and guesses the tokenizer's word splitting wrong. This file is longer than most
because it runs as one script, where nothing else of ours can be imported.
"""

from __future__ import annotations

import argparse
import json
import math
import mmap
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np  # type: ignore[import-not-found, unused-ignore]  # not in the project's own environment

Float32: TypeAlias = Any  # numpy arrays of these
Bytes: TypeAlias = Any

# GGUF metadata types by their number in the file: struct formats of the scalars, then the two composed ones.
SCALAR_FORMATS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING_TYPE, ARRAY_TYPE = 8, 9
SPECIAL_TOKEN = 3  # tokenizer.ggml.token_type: control tokens, never produced by splitting text
BLOCK_WEIGHTS = 32  # weights that share a scale, in Q4_1 and Q8_0

LAYER_NAMES = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}


class Tensor(NamedTuple):
    """One weight as it lies in the file."""

    name: str
    shape: tuple[int, ...]
    kind: int
    data: Bytes


class Reader:
    """Reads one value after another from a little-endian buffer."""

    def __init__(self, buffer: mmap.mmap):
        self.buffer = buffer
        self.position = 0

    def number(self, letter: str) -> Any:
        (value,) = struct.unpack_from(f"<{letter}", self.buffer, self.position)
        self.position += struct.calcsize(f"<{letter}")
        return value

    def text(self) -> str:
        length = self.number("Q")
        start, self.position = self.position, self.position + length
        return self.buffer[start : self.position].decode()

    def value(self, kind: int) -> Any:
        if kind == STRING_TYPE:
            return self.text()
        if kind == ARRAY_TYPE:
            item_kind, length = self.number("I"), self.number("Q")
            return [self.value(item_kind) for _ in range(length)]
        return self.number(SCALAR_FORMATS[kind])


def f32_values(data: Bytes) -> Float32:
    return data.view("<f4")


def q4_1_values(data: Bytes) -> Float32:
    """A scale, an offset (two float16), then 16 bytes: low halves are weights 0 to 15, high ones 16 to 31."""
    blocks = data.reshape(-1, 4 + BLOCK_WEIGHTS // 2)
    scale, offset = (blocks[:, at : at + 2].copy().view("<f2").astype(np.float32) for at in (0, 2))
    levels = np.concatenate([blocks[:, 4:] & 0x0F, blocks[:, 4:] >> 4], axis=1)
    return levels.astype(np.float32) * scale + offset


def q8_0_values(data: Bytes) -> Float32:
    """A scale (float16), then one signed byte a weight."""
    blocks = data.reshape(-1, 2 + BLOCK_WEIGHTS)
    scale = blocks[:, :2].copy().view("<f2").astype(np.float32)
    return blocks[:, 2:].view(np.int8).astype(np.float32) * scale


# By the tensor type's number in the file: bytes that hold ``weights`` weights, in eighths, and how to read them.
TENSOR_KINDS: dict[int, tuple[float, Callable[[Bytes], Float32]]] = {
    0: (4.0, f32_values),
    3: ((4 + BLOCK_WEIGHTS / 2) / BLOCK_WEIGHTS, q4_1_values),
    8: ((2 + BLOCK_WEIGHTS) / BLOCK_WEIGHTS, q8_0_values),
}


def read_gguf(path: Path) -> tuple[dict[str, Any], list[Tensor]]:
    """The file's metadata and its weights, which stay on disk until they are read."""
    with path.open("rb") as file:
        buffer = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    if buffer[:4] != b"GGUF":
        raise ValueError(f"{path} is not a GGUF file")
    reader = Reader(buffer)
    reader.position = 4
    version, tensor_count, entry_count = reader.number("I"), reader.number("Q"), reader.number("Q")
    if version != 3:
        raise ValueError(f"{path} is GGUF version {version}, expected 3")
    metadata = {}
    for _ in range(entry_count):
        key = reader.text()
        metadata[key] = reader.value(reader.number("I"))
    placed = []
    for _ in range(tensor_count):
        name = reader.text()
        # The file names the fastest-running dimension first, numpy last.
        shape = tuple(reversed([reader.number("Q") for _ in range(reader.number("I"))]))
        placed.append((name, shape, reader.number("I"), reader.number("Q")))
    alignment = metadata.get("general.alignment", 32)
    start = math.ceil(reader.position / alignment) * alignment
    whole = np.frombuffer(buffer, dtype=np.uint8)
    tensors = []
    for name, shape, kind, offset in placed:
        size = round(math.prod(shape) * TENSOR_KINDS[kind][0])
        tensors.append(Tensor(name, shape, kind, whole[start + offset : start + offset + size]))
    return metadata, tensors


def hub_name(name: str) -> str:
    """The weight's name in a Hugging Face Llama checkpoint."""
    fixed = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}
    if name in fixed:
        return fixed[name]
    _, layer, part, _ = name.split(".")
    return f"model.layers.{layer}.{LAYER_NAMES[part]}.weight"


def weights(tensor: Tensor, metadata: dict[str, Any]) -> Float32:
    """The weight as its first checkpoint had it, up to the quantization's rounding."""
    values = TENSOR_KINDS[tensor.kind][1](tensor.data).reshape(tensor.shape)
    heads = {"attn_q": "head_count", "attn_k": "head_count_kv"}
    for part, key in heads.items():
        if f".{part}." in tensor.name:
            # llama.cpp interleaves each head's two rotary halves; a Hub checkpoint keeps them apart.
            count = metadata[f"llama.attention.{key}"]
            rows, columns = tensor.shape
            split = values.reshape(count, rows // count // 2, 2, columns)
            return split.swapaxes(1, 2).reshape(tensor.shape)
    return values


def bfloat16_bits(values: Float32) -> Bytes:
    """Round to the nearest bfloat16, ties to even, as torch does."""
    bits = np.ascontiguousarray(values).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2")


def write_safetensors(path: Path, tensors: list[Tensor], metadata: dict[str, Any]) -> None:
    ordered = sorted(tensors, key=lambda tensor: hub_name(tensor.name))
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for tensor in ordered:
        start, end = end, end + 2 * math.prod(tensor.shape)
        place = {"dtype": "BF16", "shape": list(tensor.shape), "data_offsets": [start, end]}
        header[hub_name(tensor.name)] = place
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # readers map the weights and want them aligned
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for tensor in ordered:
            file.write(bfloat16_bits(weights(tensor, metadata)).tobytes())


def model_config(metadata: dict[str, Any]) -> dict[str, Any]:
    """config.json with the values of HuggingFaceTB/SmolLM2-135M-Instruct."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": metadata["tokenizer.ggml.bos_token_id"],
        "eos_token_id": metadata["tokenizer.ggml.eos_token_id"],
        "hidden_act": "silu",
        "hidden_size": metadata["llama.embedding_length"],
        "initializer_range": 0.041666666666666664,
        "intermediate_size": metadata["llama.feed_forward_length"],
        "is_llama_config": True,
        "max_position_embeddings": metadata["llama.context_length"],
        "mlp_bias": False,
        "model_type": "llama",
        "num_attention_heads": metadata["llama.attention.head_count"],
        "num_hidden_layers": metadata["llama.block_count"],
        "num_key_value_heads": metadata["llama.attention.head_count_kv"],
        "pad_token_id": metadata["tokenizer.ggml.padding_token_id"],
        "pretraining_tp": 1,
        "rms_norm_eps": round(metadata["llama.attention.layer_norm_rms_epsilon"], 9),
        "rope_interleaved": False,
        "rope_scaling": None,
        "rope_theta": round(metadata["llama.rope.freq_base"]),
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
        "transformers_version": "4.42.3",
        "use_cache": True,
        "vocab_size": metadata["llama.vocab_size"],
    }


def special_tokens(metadata: dict[str, Any]) -> dict[int, dict[str, Any]]:
    kinds = metadata["tokenizer.ggml.token_type"]
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    names = metadata["tokenizer.ggml.tokens"]
    return {at: {"content": names[at], **flags} for at, kind in enumerate(kinds) if kind == SPECIAL_TOKEN}


def tokenizer(metadata: dict[str, Any]) -> dict[str, Any]:
    """tokenizer.json: byte-level BPE that takes digits one by one, which llama.cpp calls ``smollm``."""
    if metadata["tokenizer.ggml.pre"] != "smollm":
        raise ValueError(f"unknown word splitting {metadata['tokenizer.ggml.pre']!r}")
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    digits = {"type": "Digits", "individual_digits": True}
    special = special_tokens(metadata)
    model = {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": False,
        "byte_fallback": False,
        "ignore_merges": False,
        "vocab": {token: at for at, token in enumerate(metadata["tokenizer.ggml.tokens"])},
        "merges": metadata["tokenizer.ggml.merges"],
    }
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": at, **token} for at, token in special.items()],
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [digits, byte_level]},
        "post_processor": None,
        "decoder": byte_level | {"add_prefix_space": True},
        "model": model,
    }


def tokenizer_config(metadata: dict[str, Any]) -> dict[str, Any]:
    def token(role: str) -> str:
        return str(metadata["tokenizer.ggml.tokens"][metadata[f"tokenizer.ggml.{role}_token_id"]])

    return {
        "add_prefix_space": False,
        "added_tokens_decoder": {str(at): token for at, token in special_tokens(metadata).items()},
        "additional_special_tokens": ["<|im_start|>", "<|im_end|>"],
        "bos_token": token("bos"),
        "chat_template": metadata["tokenizer.chat_template"],
        "clean_up_tokenization_spaces": False,
        "eos_token": token("eos"),
        "model_max_length": metadata["llama.context_length"],
        "pad_token": token("padding"),
        "tokenizer_class": "GPT2Tokenizer",
        "unk_token": token("unknown"),
        "vocab_size": metadata["llama.vocab_size"],
    }


def convert(gguf: Path, target: Path) -> None:
    """Write the model as its Hub repository holds it into the empty directory ``target``."""
    metadata, tensors = read_gguf(gguf)
    config = model_config(metadata)
    settings = tokenizer_config(metadata)
    written: dict[str, Any] = {
        "config.json": config,
        "generation_config.json": {
            "_from_model_config": True,
            **{key: config[key] for key in ("bos_token_id", "eos_token_id", "pad_token_id")},
            "transformers_version": config["transformers_version"],
        },
        "tokenizer.json": tokenizer(metadata),
        "tokenizer_config.json": settings,
        "special_tokens_map.json": {
            key: settings[key]
            for key in ("additional_special_tokens", "bos_token", "eos_token", "pad_token", "unk_token")
        },
    }
    for name, content in written.items():
        (target / name).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    write_safetensors(target / "model.safetensors", tensors, metadata)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("gguf", type=Path)
    parser.add_argument("target", type=Path)
    arguments = parser.parse_args()
    convert(arguments.gguf, arguments.target)
