"""The version of this program: what pyproject.toml says, in a clone as well as installed."""

from __future__ import annotations

import tomllib
from importlib.metadata import version
from pathlib import Path

_PYPROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"


def _version() -> str:
    if _PYPROJECT.is_file():  # a clone, whatever may be installed beside it
        return str(tomllib.loads(_PYPROJECT.read_text(encoding="utf-8"))["project"]["version"])
    return version("pageindex-stack")


VERSION = _version()
