"""Minimum versions, as data: a release below one has a hole or a crash that this stack's promises do not survive."""

from __future__ import annotations

import re
from dataclasses import dataclass

Version = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class MinimumVersion:
    """``waiver`` is the name under which a stack file may be exempt; None: it may not."""

    software: str
    version: Version
    reason: str
    waiver: str | None = None

    @property
    def text(self) -> str:
        return ".".join(map(str, self.version))


VLLM = MinimumVersion(
    software="vLLM",
    version=(0, 32, 0),
    reason="a chat template in a request can block the server (PYSEC-2026-4344, PYSEC-2026-4349); before 0.30 a "
    "request can crash it (PYSEC-2026-4199, PYSEC-2026-4353), and before 0.22 pinned revisions are not honoured "
    "(CVE-2026-47155)",
    waiver="vllm",
)
NGINX = MinimumVersion(
    software="nginx",
    version=(1, 30, 2),
    reason="earlier ones can't resolve replicas anew, and have known holes in request parsing",
)
DOCKER_REFUSED = MinimumVersion(
    software="Docker Engine",
    version=(25, 0, 5),
    reason="earlier ones forward DNS from internal networks, so a private network has a way out",
    waiver="docker-engine",
)
DOCKER_WANTED = MinimumVersion(
    software="Docker Engine",
    version=(28, 3, 3),
    reason="earlier ones lack isolated gateway mode, or let the local network reach published loopback ports",
)
DRIVER_FOR_CUDA_13 = MinimumVersion(
    software="NVIDIA driver",
    version=(580, 0, 0),
    reason="images with CUDA 13 need it on GeForce cards; vllm/vllm-openai:v…-cu129 runs on older ones",
)

# NVIDIA's images are named by month; the vLLM inside by its release notes.
NVIDIA_IMAGES: dict[str, Version] = {
    "25.09": (0, 10, 1),
    "26.05": (0, 20, 1),
    "26.10": (0, 31, 0),
}


def vllm_version(image: str) -> Version | None:
    """vLLM's version in an image, as far as the image's name tells."""
    name = image.split("@")[0]
    if monthly := re.search(r"/vllm:(\d\d\.\d\d)", name):
        return NVIDIA_IMAGES.get(monthly[1])
    found = re.search(r"vllm[\w/-]*:v?(\d+)\.(\d+)\.(\d+)", name)
    return (int(found[1]), int(found[2]), int(found[3])) if found else None


def cuda_major(image: str) -> int | None:
    """CUDA's major version in one of vLLM's own images: 13 since 0.20 unless the tag says otherwise."""
    version = vllm_version(image)
    if "cpu" in image or version is None:
        return None
    if tagged := re.search(r"-cu(\d\d)\d", image):
        return int(tagged[1])
    return 13 if version >= (0, 20, 0) else 12
