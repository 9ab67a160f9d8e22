"""How a version of vLLM counts memory: what it takes from its budget, and what comes on top of it while it serves.

Read from the source of vLLM 0.22 to 0.32; the figures of 0.26 were seen on a card.
"""

from __future__ import annotations

from dataclasses import dataclass

from planning.hosts.minimum_versions import Version
from planning.settings.model import Architecture

# The second model runner (config/vllm.py, use_v2_model_runner) runs dense models since 0.25 and all since 0.29. Before,
# it runs a few dense families, which are planned with the first runner: it counts more.
DENSE_SINCE: Version = (0, 25, 0)
ALL_SINCE: Version = (0, 29, 0)
# profile_cudagraph_memory of the first runner counts since 0.21, that of the second returns 0 before 0.29.
FIRST_COUNTS_GRAPHS_SINCE: Version = (0, 21, 0)
SECOND_COUNTS_GRAPHS_SINCE: Version = (0, 29, 0)
# Since 0.27 whatever is no longer free after profiling counts as consumed (utils/mem_utils.py, total_consumed): the
# sampler's counts, and blocks that a small allocation pins after they were freed. Since 0.31 the allocator may not
# split blocks while it profiles (v1/worker/gpu_worker.py, _scoped_allocator_max_split), and nothing is pinned.
CONSUMED_SINCE: Version = (0, 27, 0)
SPLIT_LIMIT_SINCE: Version = (0, 31, 0)
PINNED_GIB = 1.5  # seen on an RTX 5090 with 0.29 or near: 1.48 and 1.59; not seen on an H100 with 0.26

# Bytes of a sequence and a word while the sampler is profiled. The first runner's samples with all options: fitted to
# the 18 architectures that vLLM 0.19 was measured with on an H100, 8192 tokens and 1024 sequences a step
# (llm-d-planner, accuracy/accuracy_report.md), within 0.09 GiB of each. Before 0.17 it sorted, and took 38.9 bytes. The
# second's samples without options, and has only the logits, in 16 bits.
SAMPLER_BYTES = 14.6
PROFILED_LOGITS_BYTES = 2.0
# What the second runner keeps for penalties: for each word a count of 32 bits and a bit (gpu/sample/penalties.py).
PENALTY_BYTES = 4.125


@dataclass(frozen=True, kw_only=True)
class Accounting:
    """What a version does with the parts that it does not simply count."""

    second_runner: bool
    counts_graphs: bool
    counts_consumed: bool
    pinned: float

    @property
    def profiled_sampler_bytes(self) -> float:
        """Bytes of a sequence and a word that are in the budget; when it serves, sampling takes up to SAMPLER_BYTES."""
        return PROFILED_LOGITS_BYTES if self.second_runner else SAMPLER_BYTES

    @property
    def penalty_bytes(self) -> float:
        """Bytes of a sequence and a word that the sampler keeps."""
        return PENALTY_BYTES if self.second_runner else 0.0


def accounting(shape: Architecture, version: Version | None) -> Accounting:
    """``version`` None is the newest known."""
    if version is None:
        return Accounting(second_runner=True, counts_graphs=True, counts_consumed=True, pinned=0.0)
    second = version >= (ALL_SINCE if shape.experts else DENSE_SINCE)
    return Accounting(
        second_runner=second,
        counts_graphs=version >= (SECOND_COUNTS_GRAPHS_SINCE if second else FIRST_COUNTS_GRAPHS_SINCE),
        counts_consumed=version >= CONSUMED_SINCE,
        pinned=PINNED_GIB if CONSUMED_SINCE <= version < SPLIT_LIMIT_SINCE else 0.0,
    )
