"""Inputs of the plugin's components as the components' own: every fault at once, named as the caller writes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import pulumi
from pydantic import BaseModel, ValidationError

from planning.models.catalog import resolve_model
from planning.settings.model import InlineModel

PACKAGE = "pageindex-stack:index"
Settings = TypeVar("Settings", bound=BaseModel)


def settings_from(kind: type[Settings], given: Mapping[str, Any] | None, path: str) -> Settings:
    """Settings of ``kind``. InputPropertiesError names every fault by its path below ``path``."""
    try:
        return kind.model_validate(_whole_numbers(_without_none(given or {})))
    except ValidationError as error:
        raise pulumi.InputPropertiesError(
            f"{len(error.errors())} of the settings in {path} cannot be used",
            [
                {
                    "property_path": ".".join([path, *(_camel(str(part)) for part in found["loc"])]),
                    "reason": found["msg"],
                }
                for found in error.errors(include_url=False, include_context=False, include_input=False)
            ],
        ) from None


def model_from(name: str) -> InlineModel:
    """A model of the catalog, or of a directory on this machine."""
    try:
        return resolve_model(name)
    except KeyError as error:
        raise pulumi.InputPropertiesError(
            "the model cannot be used", [{"property_path": "model", "reason": str(error.args[0])}]
        ) from None


def _without_none(value: Any) -> Any:
    """Inputs that were left out arrive as None; the settings have defaults of their own."""
    if isinstance(value, Mapping):
        return {key: _without_none(inner) for key, inner in value.items() if inner is not None}
    return value


def _whole_numbers(value: Any) -> Any:
    """Every number of Pulumi's protocol is a double; one that is whole was written as an integer."""
    if isinstance(value, Mapping):
        return {key: _whole_numbers(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_whole_numbers(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.title() for part in rest)
