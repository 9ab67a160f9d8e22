"""What a refused value was meant to be: the first of its readings that the settings accept, or nothing."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from annotated_types import Le
from pydantic import BaseModel, ValidationError

from planning.settings.fields import field_at, list_in
from planning.settings.readings import Scalar, readings


def meant_value(model: type[BaseModel], raw: Mapping[str, Any], path: Sequence[str]) -> Scalar | None:
    """The first reading of what stands at ``path`` that ``model`` accepts there; None if there is none."""
    field = field_at(model, path)[1]
    for reading in readings(value_at(raw, path), path[-1], field.annotation if field else None):
        if accepts(model, raw, path, reading):
            return reading
    return _most(model, raw, path)


def _most(model: type[BaseModel], raw: Mapping[str, Any], path: Sequence[str]) -> int | None:
    """The most of something, where more was asked for. A port is no amount."""
    given, field = value_at(raw, path), field_at(model, path)[1]
    if not isinstance(given, int) or field is None or path[-1].endswith("port"):
        return None
    bounds = [rule.le for rule in field.metadata if isinstance(rule, Le)]
    return next(
        (bound for bound in bounds if isinstance(bound, int) and bound < given and accepts(model, raw, path, bound)),
        None,
    )


def meant_list(model: type[BaseModel], raw: Mapping[str, Any], path: Sequence[str]) -> list[Any] | None:
    """The list that ``path`` should hold, its elements read one by one; None where that gives none that passes."""
    given = value_at(raw, path)
    for candidate in _lists(given):
        found = [_element(model, raw, path, candidate, index) for index in range(len(candidate))]
        read = [element for element in found if element is not None]
        if read and accepts(model, raw, path, read):
            return read
    example = list_in(model, path)
    return example if accepts(model, raw, path, example) else None


def _lists(given: Any) -> Iterator[list[Any]]:
    if isinstance(given, list):
        yield given
    elif isinstance(given, str):
        yield [word for word in re.split(r"[,\s]+", given) if word]
        yield [given]
    elif given is not None and not isinstance(given, Mapping):
        yield [given]


def _element(
    model: type[BaseModel], raw: Mapping[str, Any], path: Sequence[str], elements: list[Any], index: int
) -> Any:
    """One element as it is or as it was meant; None where it can't be read."""
    where = [*path, str(index)]
    changed = placed_in(raw, path, elements)
    if accepts(model, changed, where, elements[index]):
        return elements[index]
    if isinstance(elements[index], list):
        inner = [_element(model, changed, where, elements[index], each) for each in range(len(elements[index]))]
        return None if None in inner else inner
    return meant_value(model, changed, where)


def accepts(model: type[BaseModel], raw: Mapping[str, Any], path: Sequence[str], value: Any) -> bool:
    """Whether ``model`` has nothing to say against ``value`` at ``path``, whatever else is wrong."""
    try:
        model.model_validate(placed_in(raw, path, value))
    except ValidationError as error:
        return not any(_touches(path, [str(part) for part in each["loc"]]) for each in error.errors())
    except (AttributeError, LookupError, TypeError):
        return False  # there is no such place
    return True


def adds_no_error(model: type[BaseModel], raw: Mapping[str, Any], path: Sequence[str], value: Any) -> bool:
    """Whether ``value`` at ``path`` leaves ``model`` with no error that it does not have without it."""
    return _locations(model, placed_in(raw, path, value)) <= _locations(model, raw)


def _locations(model: type[BaseModel], raw: Mapping[str, Any]) -> set[tuple[int | str, ...]]:
    try:
        model.model_validate(raw)
    except ValidationError as error:
        return {each["loc"] for each in error.errors()}
    return set()


def placed_in(raw: Mapping[str, Any], path: Sequence[str], value: Any) -> dict[str, Any]:
    """``raw`` with ``value`` at ``path``; what stands in the way of the path gives way."""
    changed = copy.deepcopy(dict(raw))
    inner: Any = changed
    for part in path[:-1]:
        key = int(part) if isinstance(inner, list) else part
        if isinstance(inner, dict) and not isinstance(inner.get(key), dict | list):
            inner[key] = {}
        inner = inner[key]
    inner[int(path[-1]) if isinstance(inner, list) else path[-1]] = value
    return changed


def _touches(path: Sequence[str], found: Sequence[str]) -> bool:
    """Whether an error's location is at ``path`` or below it. pydantic adds the branch of a union to locations."""
    rest = iter(found)
    return all(part in rest for part in path)


def value_at(raw: Mapping[str, Any], path: Sequence[str]) -> Any:
    """What a stack file says at ``path``; None where it says nothing."""
    value: Any = raw
    for part in path:
        if isinstance(value, Mapping) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value
