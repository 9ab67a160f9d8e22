"""What the lab's stand-in images are made of. Each keeps the contract of the official image whose name it has."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

from machine import debian
from machine.console import StepFailed

IMAGES = Path(__file__).with_name("images")
LABEL = "pageindex-stack.lab.recipe"  # tells a stand-in from the real image, and an outdated one from a current one
PYTHON_NAME = "python:3.11-slim-bookworm"
VLLM_VERSION = "0.32.0"  # the release that images/vllm/requirements.txt is locked for
CPU_VLLM = f"vllm/vllm-openai-cpu:v{VLLM_VERSION}-x86_64"
GPU_IMAGES = (f"vllm/vllm-openai:v{VLLM_VERSION}", "nvcr.io/nvidia/vllm:26.10-py3")


@dataclass(frozen=True)
class Recipe:
    """How one stand-in is made: from Debian packages (``suite``), or by a Dockerfile on another one (``base``)."""

    directory: str
    repository: str
    tag_pattern: str
    disk_mib: int  # needed while it is made
    suite: str = ""
    packages: tuple[str, ...] = ()
    base: str = ""
    through_registry: bool = False  # pushed and pulled again: small ones only, 2 cores compress 30 MiB/s
    for_gpu: bool = False  # for the simulated GPU host alone: never pulled, for the real one runs only on a real card

    @property
    def path(self) -> Path:
        return IMAGES / self.directory

    def fingerprint(self) -> str:
        """Changes with everything that goes into the image from this repository and this machine."""
        said = [self.suite, self.packages, debian.MIRROR, debian.certificates_digest(), debian.apt_settings()]
        digest = hashlib.sha256(json.dumps(said).encode())
        ignored = {"__pycache__", ".dockerignore", *self._not_sent()}
        for file in sorted(self.path.rglob("*")):
            if file.is_file() and ignored.isdisjoint(file.relative_to(self.path).parts):
                digest.update(file.relative_to(self.path).as_posix().encode() + b"\0" + file.read_bytes())
        if self.base:
            digest.update(find(self.base).fingerprint().encode())
        return digest.hexdigest()[:16]

    def _not_sent(self) -> list[str]:
        """What the build doesn't see cannot change its result."""
        listing = self.path / ".dockerignore"
        return listing.read_text().split() if listing.exists() else []

    def changes(self) -> list[str]:
        """The image's settings, as Dockerfile instructions."""
        return [line for line in (self.path / "changes").read_text().splitlines() if line and line[0] != "#"]


RECIPES = (
    Recipe(
        directory="python",
        repository="python",
        tag_pattern=r"3\.11(\.\d+)?-slim-bookworm",
        suite="bookworm",
        packages=("ca-certificates", "netbase", "python3", "python3-venv", "tzdata"),
        disk_mib=700,
        through_registry=True,
    ),
    Recipe(
        directory="nginx",
        repository="nginx",
        tag_pattern=r"1\.(30|31|32)\.\d+",
        suite="forky",
        packages=("ca-certificates", "curl", "gettext-base", "nginx", "tzdata"),
        disk_mib=700,
        through_registry=True,
    ),
    Recipe(
        directory="vllm",
        repository="vllm/vllm-openai-cpu",
        tag_pattern=rf"v{re.escape(VLLM_VERSION)}-x86_64",
        base=PYTHON_NAME,
        disk_mib=7600,
    ),
    Recipe(
        directory="vllm-gpu",
        repository="vllm/vllm-openai",
        tag_pattern=rf"v{re.escape(VLLM_VERSION)}",
        base=CPU_VLLM,
        disk_mib=100,
        for_gpu=True,
    ),
    Recipe(
        directory="vllm-nvidia",
        repository="nvcr.io/nvidia/vllm",
        tag_pattern=r"26\.10-py3",
        base=GPU_IMAGES[0],
        disk_mib=100,
        for_gpu=True,
    ),
)


def known(name: str) -> bool:
    """Whether there is a recipe for it."""
    return _match(name) is not None


def _match(name: str) -> Recipe | None:
    repository, _, tag = name.removeprefix("docker.io/").removeprefix("library/").partition(":")
    fitting = (one for one in RECIPES if one.repository == repository and re.fullmatch(one.tag_pattern, tag))
    return next(fitting, None)


def for_gpu(name: str) -> bool:
    """Whether it is one that only the simulated GPU host has."""
    recipe = _match(name)
    return recipe is not None and recipe.for_gpu


def find(name: str) -> Recipe:
    """The recipe that can stand in for the image ``name``."""
    if "@" in name:
        raise StepFailed(
            f"{name} is pinned by digest and cannot be pulled; no stand-in can have that digest",
            f"docker pull {name}   # once its registry can be reached",
        )
    recipe = _match(name)
    if recipe is not None:
        return recipe
    available = ", ".join(f"{recipe.repository}:{recipe.tag_pattern}" for recipe in RECIPES)
    raise StepFailed(
        f"the image {name} is neither here nor can it be pulled, and the lab has no stand-in for it "
        f"(it has: {available})",
        f"docker pull {name}   # its message says why; or add a recipe to lab/recipes.py",
    )
