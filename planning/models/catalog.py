"""The model catalog: what the stack needs to know of a model, by name, inline or from a directory."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import yaml
from pydantic import TypeAdapter

from planning.models.local_directory import read_local_model
from planning.settings.model import InlineModel

CATALOG_FILE = Path(__file__).with_name("models.yaml")


@cache
def catalog() -> dict[str, InlineModel]:
    """All models known by name."""
    entries = yaml.safe_load(CATALOG_FILE.read_text(encoding="utf-8"))
    return TypeAdapter(dict[str, InlineModel]).validate_python(entries)


def resolve_model(setting: str | InlineModel) -> InlineModel:
    """Look a model up by its catalog name, or read it from its directory; KeyError says what there is."""
    if isinstance(setting, InlineModel):
        return setting
    if setting.startswith("/"):
        try:
            return read_local_model(Path(setting))
        except (OSError, ValueError) as error:
            raise KeyError(
                f"cannot be read here ({error}); where the weights are on another machine, name a catalog model and "
                "set model_cache.local_path"
            ) from None
    known = catalog()
    if setting not in known:
        raise KeyError(f"no such model in the catalog; it has: {', '.join(sorted(known))}")
    return known[setting]
