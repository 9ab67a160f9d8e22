"""What a refused value was meant to be, where that can be read: a number in quotes, a word with a typing error.

A reading is offered only if the settings accept it; nothing is guessed beyond that.
"""

from __future__ import annotations

import copy
import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

TRUE_WORDS, FALSE_WORDS = {"true", "yes", "on"}, {"false", "no", "off"}
NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?")
GROUPED = re.compile(r"[+-]?\d{1,3}(?:[ ,_'’]\d{3})+")  # 32,768 or 32 768
PERCENT = re.compile(r"(\d+(?:\.\d+)?) ?%")
CLOSE = 0.6  # difflib's ratio, from which on two words are taken for the same one, mistyped


def meant_value(
    model: type[BaseModel], raw: Mapping[str, Any], path: Sequence[str], field: FieldInfo | None
) -> str | int | float | bool | None:
    """The first reading of what stands at ``path`` that ``model`` accepts there; None if there is none."""
    given = value_at(raw, path)
    for reading in _readings(given, field):
        if accepts(model, raw, path, reading):
            return reading
    return None


def meant_name(name: str, known: Sequence[str]) -> str | None:
    """The known name that ``name`` is a mistyped form of; None if none is close."""
    plain = {_plain(each): each for each in known}
    if _plain(name) in plain:
        return plain[_plain(name)]
    close = difflib.get_close_matches(_plain(name), plain, 1, 0.75)
    return plain[close[0]] if close else None


def _plain(name: str) -> str:
    """Without what people write differently: case, hyphens, underscores."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _readings(given: Any, field: FieldInfo | None) -> Iterator[str | int | float | bool]:
    if isinstance(given, str):
        yield from _readings_of_text(given.strip(), field)
    elif isinstance(given, bool):
        yield str(given).lower()
    elif isinstance(given, int | float):
        if float(given).is_integer():
            yield int(given)
        yield float(given)
        if 1 < given <= 100:
            yield given / 100  # a share that was written as a percentage
        yield str(given)


def _readings_of_text(text: str, field: FieldInfo | None) -> Iterator[str | int | float | bool]:
    lowered = text.lower()
    if lowered in TRUE_WORDS | FALSE_WORDS:
        yield lowered in TRUE_WORDS
    words = [text.replace(",", "."), re.sub(r"[ ,_'’]", "", text)] if GROUPED.fullmatch(text) else [text]
    for word in reversed(words):
        if NUMBER.fullmatch(word.replace(",", ".")):
            number = float(word.replace(",", "."))
            if number.is_integer():
                yield int(number)
            yield number
    if share := PERCENT.fullmatch(text):
        yield float(share[1]) / 100
    choices = [choice for choice in _choices(field.annotation if field else None) if isinstance(choice, str)]
    yield from (choice for choice in choices if _plain(choice) == _plain(text))
    yield from difflib.get_close_matches(lowered, choices, 1, CLOSE)
    yield text  # without the blanks around it


def _choices(annotation: Any) -> Iterator[Any]:
    """Every literal value that an annotation names, inside unions too."""
    for argument in get_args(annotation):
        if isinstance(argument, str | int | float):
            yield argument
        else:
            yield from _choices(argument)


def accepts(model: type[BaseModel], raw: Mapping[str, Any], path: Sequence[str], value: Any) -> bool:
    """Whether ``model`` has nothing to say against ``value`` at ``path``, whatever else is wrong."""
    changed = copy.deepcopy(dict(raw))
    inner: Any = changed
    for part in path[:-1]:
        inner = inner[int(part)] if isinstance(inner, list) else inner.setdefault(part, {})
    if isinstance(inner, list):
        inner[int(path[-1])] = value
    elif isinstance(inner, dict):
        inner[path[-1]] = value
    else:
        return False
    try:
        model.model_validate(changed)
    except ValidationError as error:
        return not any(_touches(path, [str(part) for part in each["loc"]]) for each in error.errors())
    return True


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
