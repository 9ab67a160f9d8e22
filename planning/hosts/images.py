"""Third-party images: one compose-format file that update bots understand, read by service name."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import yaml

IMAGES_FILE = Path(__file__).resolve().parents[2] / "images.compose.yaml"


@cache
def image_names() -> dict[str, str]:
    """Service name to pinned image reference."""
    services = yaml.safe_load(IMAGES_FILE.read_text(encoding="utf-8"))["services"]
    return {name: service["image"] for name, service in services.items()}


def resolve_image(setting: str) -> str:
    """A service name of images.compose.yaml becomes its reference; a reference stays what it is."""
    if ":" in setting or "@" in setting:
        return setting
    known = image_names()
    if setting not in known:
        raise KeyError(f"no such service in images.compose.yaml; it has: {', '.join(sorted(known))}")
    return known[setting]
