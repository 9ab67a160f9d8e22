"""What a replica compiled at its start, kept for its next one: a volume of each replica, image and kind of card."""

from __future__ import annotations

from planning.memory.placement import Replica
from planning.services.service import Volume, stable_hash

CACHES_PATH = "/var/cache/vllm"
CACHES = Volume(name="caches", path=CACHES_PATH)
CPU = "cpu"

# vLLM puts most of what Inductor and Triton write into its own folder; the other two are for what it starts beside.
VARIABLES = {
    "VLLM_CACHE_ROOT": f"{CACHES_PATH}/vllm",
    "TRITON_CACHE_DIR": f"{CACHES_PATH}/triton",
    "TORCHINDUCTOR_CACHE_DIR": f"{CACHES_PATH}/inductor",
}


def caches_key(image: str, card: str) -> str:
    """Differs with the image and with the kind of card. ``card`` is its name, and empty on the CPU."""
    return stable_hash(image, card or CPU)[:8]


def caches_volume(prefix: str, replica: Replica, image: str, card: str) -> str:
    """The volume's name on the host: nobody but this replica, in both generations of a roll-out, mounts it."""
    return f"{prefix}-{replica.alias}-caches-{caches_key(image, card)}"
