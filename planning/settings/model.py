"""What the planner and the server must know of a model: where it lies, its dimensions, how it is quantized."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from planning.settings.base import SettingsBase

Task = Literal["chat", "vision", "embedding", "rerank"]
UNPINNED = "unpinned"  # the catalog's word for a commit that no public source names


class Architecture(SettingsBase):
    """Dimensions of a transformer, as its config.json states them."""

    layers: int = Field(gt=0, description="num_hidden_layers.", examples=[36])
    hidden_size: int = Field(gt=0, description="hidden_size.", examples=[4096])
    intermediate_size: int = Field(gt=0, description="intermediate_size of the dense MLP.", examples=[12288])
    heads: int = Field(gt=0, description="num_attention_heads.", examples=[32])
    kv_heads: int = Field(gt=0, description="num_key_value_heads; equal to heads for MHA.", examples=[8])
    head_size: int = Field(gt=0, description="head_dim, else hidden_size / num_attention_heads.", examples=[128])
    vocab_size: int = Field(gt=0, description="vocab_size.", examples=[151936])
    tied_embeddings: bool = Field(False, description="tie_word_embeddings.")
    attention_bias: bool = Field(False, description="Whether the Q, K and V projections have a bias.")
    experts: int = Field(0, ge=0, description="Routed experts a layer; 0 for a dense model.", examples=[128])
    experts_per_token: int = Field(0, ge=0, description="num_experts_per_tok.", examples=[8])
    expert_size: int = Field(0, ge=0, description="moe_intermediate_size.", examples=[768])
    shared_experts: int = Field(0, ge=0, description="n_shared_experts.", examples=[1])
    dense_layers: int = Field(0, ge=0, description="first_k_dense_replace: layers without experts.", examples=[1])
    kv_lora_rank: int = Field(0, ge=0, description="MLA's compressed KV size; 0 without MLA.", examples=[512])
    qk_rope_head_size: int = Field(0, ge=0, description="MLA's part of the key that rotates.", examples=[64])
    vision_parameters: int = Field(0, ge=0, description="Parameters of the vision tower.", examples=[668_700_000])
    vision_activation_gib: float = Field(
        0.0, ge=0, description="What encoding one image of the largest size needs for a moment, GiB.", examples=[1.9]
    )
    source: str = Field("", description="Where these numbers come from.")

    @property
    def embedding_parameters(self) -> int:
        """One of the two matrices that are as tall as the vocabulary."""
        return self.vocab_size * self.hidden_size

    @property
    def head_parameters(self) -> int:
        """The output head, which shares the embedding where both are tied."""
        return 0 if self.tied_embeddings else self.embedding_parameters

    @property
    def linear_parameters(self) -> int:
        """Matrices of all layers: what quantization shrinks."""
        attention = 2 * self.hidden_size * self.head_size * (self.heads + self.kv_heads)
        dense = 3 * self.hidden_size * self.intermediate_size
        shared = 3 * self.hidden_size * self.expert_size * self.shared_experts
        rest = (self.layers - self.dense_layers) * (shared if self.experts else dense)
        return self.layers * attention + self.dense_layers * dense + rest + self.expert_parameters

    @property
    def expert_parameters(self) -> int:
        """Of those, the matrices of the routed experts."""
        return (self.layers - self.dense_layers) * 3 * self.hidden_size * self.expert_size * self.experts

    @property
    def small_parameters(self) -> int:
        """Norms, biases and routers, which no quantization touches."""
        biases = self.head_size * (self.heads + 2 * self.kv_heads) if self.attention_bias else 0
        routers = self.hidden_size * self.experts * (self.layers - self.dense_layers)
        return self.layers * (2 * self.hidden_size + biases) + self.hidden_size + routers

    @property
    def parameters(self) -> int:
        """All of them, computed from the dimensions."""
        return (
            self.linear_parameters
            + self.small_parameters
            + self.embedding_parameters
            + self.head_parameters
            + self.vision_parameters
        )

    def kv_bytes_per_token(self, bytes_per_value: float, layers: int, tensor_parallel_size: int) -> float:
        """What one token takes in one card's KV cache."""
        if self.kv_lora_rank:  # MLA: every card keeps the whole compressed vector
            return layers * (self.kv_lora_rank + self.qk_rope_head_size) * bytes_per_value
        heads = max(1, self.kv_heads // tensor_parallel_size)  # fewer heads than cards: they are copied
        return 2 * layers * heads * self.head_size * bytes_per_value


class Quantization(SettingsBase):
    """How the weights on disk are quantized."""

    method: Literal["awq", "compressed-tensors", "gptq", "fp8"] = Field(
        description="quant_method of config.json.", examples=["awq"]
    )
    bits: int = Field(4, ge=2, le=8, description="Bits a weight.", examples=[4])
    group_size: int = Field(
        128, ge=0, description="Weights that share a scale; 0: one scale a channel.", examples=[128]
    )
    zero_points: bool = Field(True, description="Whether groups have a zero point beside their scale.")
    unquantized_parameters: int = Field(
        0, ge=0, description="Matrices of the layers that stay 16 bits wide.", examples=[1_000_000_000]
    )
    source: str = Field("", description="Where these numbers come from.")

    @property
    def bytes_per_weight(self) -> float:
        """Packed weight, plus its share of the group's scale and zero point."""
        scale = (2 + (self.bits / 8 if self.zero_points else 0)) / self.group_size if self.group_size else 0.0
        return self.bits / 8 + scale


class InlineModel(SettingsBase):
    """One model: an entry of the catalog, or what a stack file writes out for a model that the catalog lacks."""

    repo: str = Field(
        pattern=r"^[\w.-]+/[\w.-]+$",
        description="Hugging Face repository id.",
        examples=["HuggingFaceTB/SmolLM2-360M-Instruct"],
    )
    revision: str = Field(
        pattern=r"^([0-9a-f]{40}|unpinned)$",
        description="Commit of the repository, 40 hex digits, so that weights cannot change under a stack. "
        "`unpinned` where none is known: then model_cache.revision must say what is downloaded.",
        examples=["a10cc1512eabd3dde888204e902eca88bddb4951"],
    )
    context_limit: int = Field(
        gt=0, description="Longest context that the model was made for, tokens.", examples=[8192]
    )
    task: Task = Field(
        "chat",
        description="What it is for: `chat`, `vision` (chats and reads images), `embedding` or `rerank`. Paths of the "
        "API that its task does not need stay shut.",
        examples=["chat"],
    )
    gated: bool = Field(False, description="Whether the hub wants a token (hf_token) for it.")
    tool_call_parser: str | None = Field(
        None, description="vLLM's --tool-call-parser, if the model can call tools.", examples=["hermes"]
    )
    reasoning_parser: str | None = Field(
        None, description="vLLM's --reasoning-parser, if the model thinks before it answers.", examples=["qwen3"]
    )
    hf_overrides: dict[str, str | bool | list[str]] = Field(
        default_factory=dict,
        description="vLLM's --hf-overrides: what it is to read in place of the model's config.json.",
        examples=[{"architectures": ["Qwen3ForSequenceClassification"]}],
    )
    max_new_tokens: int | None = Field(
        None, gt=0, description="Ceiling for generated tokens per request, for models that do not stop."
    )
    multimodal: bool = Field(False, description="Whether it reads images.")
    architecture: Architecture | None = Field(
        None, description="Dimensions. Without them, whether the model fits cannot be said at preview."
    )
    quantization: Quantization | None = Field(None, description="How it is quantized; default: 16 bits a weight.")
    bytes_on_disk: int | None = Field(
        None,
        gt=0,
        description="All safetensors together: exact, so preferred to a computed size.",
        examples=[269060552],
    )
    source: str = Field("", description="Where these facts come from.")

    @property
    def writes(self) -> bool:
        """Whether it answers in text; the others give one vector or one score for a text."""
        return self.task in {"chat", "vision"}

    @property
    def sees(self) -> bool:
        """Whether it reads images, and writes what is on them."""
        return self.writes and (self.task == "vision" or self.multimodal)

    @property
    def pinned(self) -> bool:
        """Whether ``revision`` is a commit."""
        return self.revision != UNPINNED
