"""Images of ours, each built on the host's own daemon from a folder under services/."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pulumi
import pulumi_docker as docker

from planning.hosts.ssh import HostAddress

SERVICES = Path(__file__).resolve().parents[1] / "services"
NOT_PART_OF_AN_IMAGE = {"__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", "README.md"}


def context_digest(context: Path) -> str:
    """Hash of every file that can change the image, independent of times and of where the folder lies."""
    digest = hashlib.sha256()
    for path in sorted(context.rglob("*")):
        if path.is_file() and not NOT_PART_OF_AN_IMAGE.intersection(path.relative_to(context).parts):
            digest.update(f"{path.relative_to(context)}\0{os.access(path, os.X_OK)}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def service_image_name(service: str, prefix: str, base_image: str) -> str:
    """The image's name; its tag is the hash of its sources and its base."""
    digest = hashlib.sha256(f"{base_image}\0{context_digest(SERVICES / service)}".encode()).hexdigest()[:16]
    return f"{prefix}-{service.replace('_', '-')}:{digest}"


def service_image(
    resource_name: str,
    *,
    service: str,
    prefix: str,
    base_image: str,
    docker_host: HostAddress = None,
    opts: pulumi.ResourceOptions,
) -> docker.RemoteImage:
    """Build ``services/<service>`` on the provider's daemon. ``docker_host`` is that daemon, where it was named."""
    build: docker.RemoteImageBuildArgsDict = {
        # Relative, so that a clone in another place is no difference.
        "context": os.path.relpath(SERVICES / service),
        "build_args": {"PYTHON_IMAGE": base_image},
        "remove": True,
        "force_remove": True,
    }
    if docker_host:
        # The provider's buildx builds on the environment's daemon, whatever daemon the provider has. This one doesn't.
        build["use_legacy_builder"] = True
    name = service_image_name(service, prefix, base_image)
    return docker.RemoteImage(resource_name, name=name, build=build, opts=opts)
