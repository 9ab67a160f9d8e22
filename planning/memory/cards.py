"""Cards: what vLLM finds when it starts on one. nvidia-smi's number is the name of a size, not what can be used."""

from __future__ import annotations

from dataclasses import dataclass, replace

from planning.settings.areas import GpuSettings

MIB_PER_GIB = 1024
# Of a card that isn't in the table: the share that CUDA reports of what nvidia-smi reports; the least of those known.
USABLE_SHARE = 0.955


@dataclass(frozen=True, kw_only=True)
class Card:
    """One kind of card. ``cuda_gib`` is cudaMemGetInfo's total, of which vLLM takes its share."""

    name: str
    memory_mib: int
    cuda_gib: float
    compute_capability: float
    unified: bool = False
    nvlink: bool = False
    reserved_gib: float = 0.0
    """Taken by others before vLLM starts: a desktop, another service, on unified memory the whole system."""

    @property
    def fp8_kv(self) -> bool:
        """Whether attention kernels read fp8 KV cache."""
        return self.compute_capability >= 8.9


# memory_mib: nvidia-smi's memory.total. cuda_gib: "total capacity" in PyTorch's out-of-memory messages and the second
# number of vLLM's "Free memory on device (…/… GiB)" line, the lowest of those seen in public logs.
_TABLE = [
    #     name                                            MiB     CUDA GiB  capability
    Card(name="NVIDIA GeForce RTX 5090", memory_mib=32607, cuda_gib=31.34, compute_capability=12.0),
    Card(name="NVIDIA GeForce RTX 5080", memory_mib=16303, cuda_gib=15.45, compute_capability=12.0),
    Card(name="NVIDIA GeForce RTX 4090", memory_mib=24564, cuda_gib=23.52, compute_capability=8.9),
    Card(name="NVIDIA GeForce RTX 3090", memory_mib=24576, cuda_gib=23.56, compute_capability=8.6),
    Card(name="NVIDIA RTX PRO 6000 Blackwell Workstation Edition", memory_mib=97887, cuda_gib=94.97,
         compute_capability=12.0),
    Card(name="NVIDIA RTX A6000", memory_mib=49140, cuda_gib=47.40, compute_capability=8.6),
    Card(name="NVIDIA L4", memory_mib=23034, cuda_gib=22.03, compute_capability=8.9),
    Card(name="NVIDIA L40S", memory_mib=46068, cuda_gib=44.39, compute_capability=8.9),
    Card(name="NVIDIA A100-SXM4-80GB", memory_mib=81920, cuda_gib=79.14, compute_capability=8.0, nvlink=True),
    Card(name="NVIDIA H100 80GB HBM3", memory_mib=81559, cuda_gib=79.11, compute_capability=9.0, nvlink=True),
    Card(name="NVIDIA H200", memory_mib=143771, cuda_gib=139.72, compute_capability=9.0, nvlink=True),
    # DGX Spark. nvidia-smi reports no memory total, only [N/A]; CUDA reports what Linux has, 121.69 GiB on the machines
    # seen, less on some firmware. "Free memory on device (100.94/121.69 GiB)" was seen on one with its usual services.
    Card(name="NVIDIA GB10", memory_mib=122502, cuda_gib=119.6, compute_capability=12.1, unified=True,
         reserved_gib=16.0),
]  # fmt: skip
CARDS = {card.name: card for card in _TABLE}


class UnknownCard(Exception):
    """A card that isn't in the table and whose numbers the stack file doesn't give."""


def card_of(gpus: GpuSettings) -> Card:
    """The card that the stack file means: the table's, with whatever the file says otherwise."""
    known = CARDS.get(gpus.name)
    if known is None:
        if gpus.memory_mib is None or gpus.compute_capability is None:
            raise UnknownCard(f"no such card in planning/memory/cards.py; it has: {', '.join(sorted(CARDS))}")
        known = Card(
            name=gpus.name,
            memory_mib=gpus.memory_mib,
            cuda_gib=gpus.memory_mib / MIB_PER_GIB * USABLE_SHARE,
            compute_capability=gpus.compute_capability,
        )
    elif gpus.memory_mib is not None and gpus.memory_mib != known.memory_mib:
        known = replace(known, memory_mib=gpus.memory_mib, cuda_gib=known.cuda_gib * gpus.memory_mib / known.memory_mib)
    return replace(
        known,
        compute_capability=gpus.compute_capability or known.compute_capability,
        unified=known.unified if gpus.unified_memory is None else gpus.unified_memory,
        nvlink=known.nvlink if gpus.nvlink is None else gpus.nvlink,
        reserved_gib=known.reserved_gib + gpus.reserved_gib,
    )
