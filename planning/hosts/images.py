"""Third-party images: one compose-format file that update bots understand, read by service name."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

IMAGES_FILE = Path(__file__).resolve().parents[2] / "images.compose.yaml"
_SERVICE = re.compile(r"^  ([\w.-]+):\s*(?:#.*)?$")
_IMAGE = re.compile(r"^    image:\s*(\S+)")


@cache
def image_names() -> dict[str, str]:
    """Service name to pinned image reference.

    The file is plain enough to be read without a YAML library, which the set-up of a bare machine does not have yet.
    """
    found, service = {}, ""
    for line in IMAGES_FILE.read_text(encoding="utf-8").splitlines():
        if named := _SERVICE.match(line):
            service = named[1]
        elif image := _IMAGE.match(line):
            found[service] = image[1].strip("'\"")
    return found


def resolve_image(setting: str) -> str:
    """A service name of images.compose.yaml becomes its reference; a reference stays what it is."""
    if ":" in setting or "@" in setting:
        return setting
    known = image_names()
    if setting not in known:
        raise KeyError(f"no such service in images.compose.yaml; it has: {', '.join(sorted(known))}")
    return known[setting]
