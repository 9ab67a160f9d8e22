"""Which replica gets which cards, no card twice; and whether a model can be split over them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from planning.settings.model import InlineModel
from planning.settings.vllm import VllmSettings


@dataclass(frozen=True, kw_only=True)
class Replica:
    """One vLLM server. ``alias`` is its name on the network; ``cards`` are nvidia-smi's indexes, none on the CPU."""

    index: int
    cards: tuple[int, ...]
    served: str = ""
    """The model's name among several."""

    @property
    def alias(self) -> str:
        return f"vllm-{self.served}-{self.index}" if self.served else f"vllm-{self.index}"


class BadPlacement(Exception):
    """Replicas and cards do not go together."""


def place(vllm: VllmSettings, card_count: int, served: str = "") -> tuple[Replica, ...]:
    """Give each replica its cards: those that the stack file names, else the next ones in order."""
    if vllm.device == "cpu":
        return tuple(Replica(index=index, cards=(), served=served) for index in range(vllm.replicas))
    each = vllm.cards_per_replica
    if not vllm.placement:
        return tuple(
            Replica(index=index, cards=tuple(range(index * each, (index + 1) * each)), served=served)
            for index in range(vllm.replicas)
        )
    if len(vllm.placement) != vllm.replicas:
        raise BadPlacement(f"names cards for {len(vllm.placement)} replicas, but vllm.replicas is {vllm.replicas}")
    for index, cards in enumerate(vllm.placement):
        if len(cards) != each:
            raise BadPlacement(
                f"replica {index} has {len(cards)} cards, but tensor_parallel_size × pipeline_parallel_size is {each}"
            )
    taken = Counter(card for cards in vllm.placement for card in cards)
    if missing := sorted(card for card in taken if card >= card_count):
        raise BadPlacement(f"there is no card {missing[0]}: host.gpus.count is {card_count}, and they count from 0")
    if twice := sorted(card for card, times in taken.items() if times > 1):
        raise BadPlacement(f"card {twice[0]} is given out {taken[twice[0]]} times")
    return tuple(Replica(index=index, cards=tuple(cards), served=served) for index, cards in enumerate(vllm.placement))


def uneven(model: InlineModel, parts: int) -> str | None:
    """Why the model's layers can't be split over ``parts`` cards, or None."""
    shape, quantization = model.architecture, model.quantization
    if shape is None or parts == 1:
        return None
    for name, count in (("attention heads", shape.heads), ("words in its vocabulary", shape.vocab_size)):
        if count % parts:
            return f"{model.repo} has {count} {name}, which {parts} does not divide"
    if shape.kv_heads % parts and parts % shape.kv_heads:
        return f"{model.repo} has {shape.kv_heads} KV heads, which neither divide {parts} nor are divided by it"
    width = shape.expert_size if shape.experts else shape.intermediate_size
    if quantization and quantization.group_size and width % (parts * quantization.group_size):
        return (
            f"{model.repo} is quantized in groups of {quantization.group_size}, and a part of {width} / {parts} "
            "does not hold whole groups"
        )
    return None
