"""Fields of the settings' models by their path in a stack file, and values for them that pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from planning.settings.config_commands import rm_line, set_value_line
from planning.settings.readings import plain


def set_line(model: type[BaseModel], path: list[str], stack: str) -> str:
    """The command that sets ``path`` to a value that passes, or takes it out where its default is to have none."""
    known = path[: field_at(model, path)[2]]
    example = example_at(model, known)
    rest = path[len(known) :]
    if rest:  # an element of a list or a map, which has no field of its own
        if isinstance(example, dict) and rest[0] in example:
            return set_value_line([*known, rest[0]], example[rest[0]], stack)
        return rm_line(known if rest[0].isdigit() else [*known, rest[0]], stack)
    if isinstance(example, dict):
        return set_line(model, [*path, next(iter(example))], stack)
    if isinstance(example, list):
        return rm_line(path, stack)
    return rm_line(path, stack) if example is None else set_value_line(path, example, stack)


def field_at(model: type[BaseModel], path: Sequence[str]) -> tuple[type[BaseModel] | None, FieldInfo | None, int]:
    """Follow ``path``: the model it leads into, the field it ends at, and how many of its parts are known."""
    current: type[BaseModel] | None = model
    field: FieldInfo | None = None
    key_follows = False
    for count, part in enumerate(path):
        if key_follows:  # a map from names to settings: any name leads on
            key_follows, field = False, None
        elif current and part in current.model_fields:
            field = current.model_fields[part]
            current = _model_in(field.annotation)
            key_follows = current is not None and get_origin(field.annotation) is dict
        else:
            return current, field, count
    return current, field, len(path)


def fields_at(model: type[BaseModel], path: Sequence[str]) -> Mapping[str, FieldInfo]:
    """The fields of the settings that ``path`` leads to; empty where the path leaves the models."""
    found, _, known = field_at(model, path)
    return found.model_fields if found and known == len(path) else {}


def only_place_of(model: type[BaseModel], name: str) -> list[str] | None:
    """Where on the first two levels of the settings a key of this name stands, if that is one place."""
    paths = [
        [key, *inner] for key in model.model_fields for inner in ([], *([name] for name in fields_at(model, [key])))
    ]
    places = [path for path in paths if plain(path[-1]) == plain(name)]
    return places[0] if len(places) == 1 else None


def key_words(model: type[BaseModel], path: Sequence[str]) -> list[str]:
    """The words that may be keys of the map at ``path``; none where any may."""
    field = field_at(model, path)[1]
    if field is None or get_origin(field.annotation) is not dict:
        return []
    return [word for word in get_args(get_args(field.annotation)[0]) if isinstance(word, str)]


def wants_list(model: type[BaseModel], path: Sequence[str]) -> bool:
    """Whether the field at ``path`` is a list."""
    _, field, known = field_at(model, path)
    return field is not None and known == len(path) and get_origin(field.annotation) is list


def only_needed_field(model: type[BaseModel], path: Sequence[str]) -> str | None:
    """The one field that the settings at ``path`` need, where all the others have defaults."""
    needed = [name for name, field in fields_at(model, path).items() if field.is_required()]
    return needed[0] if len(needed) == 1 else None


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        found = _model_in(argument)
        if found:
            return found
    return None


def example_at(model: type[BaseModel], path: Sequence[str]) -> Any:
    """A value that passes: the field's example, else its default."""
    _, field, _ = field_at(model, path)
    if field is None:
        return None
    if field.examples:
        return field.examples[0]
    return None if field.is_required() else field.get_default(call_default_factory=True, validated_data={})


def list_in(model: type[BaseModel], path: Sequence[str]) -> list[Any]:
    """The example of a flat list; empty where the field has none."""
    example = example_at(model, path)
    flat = isinstance(example, list) and not any(isinstance(element, list) for element in example)
    return list(example) if flat else []
