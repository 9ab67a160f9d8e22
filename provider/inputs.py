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
        found = error.errors(include_url=False, include_context=False, include_input=False)
        faults = {".".join([path, *(_camel(str(part)) for part in each["loc"])]): each["msg"] for each in found}
        raise _refusal(faults) from None


def model_from(name: str) -> InlineModel:
    """A model of the catalog, or of a directory on this machine. InputPropertiesError says which there are."""
    try:
        return resolve_model(name)
    except KeyError as error:
        raise _refusal({"model": str(error.args[0])}) from None


def _refusal(faults: Mapping[str, str]) -> pulumi.InputPropertiesError:
    """All faults in the message too: a plugin's host shows that and not the list."""
    text = "\n".join(["these inputs cannot be used:", *(f"  {path}: {reason}" for path, reason in faults.items())])
    return pulumi.InputPropertiesError(
        text, [{"property_path": path, "reason": reason} for path, reason in faults.items()]
    )


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
