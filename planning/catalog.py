"""The model catalog: what the stack needs to know of a model, by name."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import yaml
from pydantic import TypeAdapter

from planning.settings import InlineModel

CATALOG_FILE = Path(__file__).with_name("models.yaml")


@cache
def catalog() -> dict[str, InlineModel]:
    """All models known by name."""
    entries = yaml.safe_load(CATALOG_FILE.read_text(encoding="utf-8"))
    return TypeAdapter(dict[str, InlineModel]).validate_python(entries)


def resolve_model(setting: str | InlineModel) -> InlineModel:
    """Look a model up by its catalog name; KeyError lists the names there are."""
    if isinstance(setting, InlineModel):
        return setting
    known = catalog()
    if setting not in known:
        raise KeyError(f"no such model in the catalog; it has: {', '.join(sorted(known))}")
    return known[setting]
