"""From pydantic's findings about a stack file to errors, each with the command that mends it.

The command sets what was meant, where that can be read. Otherwise it sets an example of the field, or takes the key out
so that its default holds.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from planning.settings.config_commands import (
    MapKey,
    rename_line,
    rm_line,
    set_secret_line,
    set_value_line,
    set_value_lines,
)
from planning.settings.errors import ConfigError, holds_secret, shown, sounds_secret
from planning.settings.fields import (
    example_at,
    field_at,
    fields_at,
    key_words,
    only_needed_field,
    only_place_of,
    set_line,
    wants_list,
)
from planning.settings.meant import accepts, adds_no_error, meant_list, meant_value, placed_in, value_at
from planning.settings.readings import Scalar, is_text, meant_entry, meant_name


@dataclass(frozen=True)
class Finding:
    """One finding of pydantic's: where, of what kind, and its sentence."""

    path: list[str]
    kind: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class StackContent:
    """What a stack file says in clear, and what else may stand in it."""

    stack: str
    raw: Mapping[str, Any]
    model: type[BaseModel]
    secrets: Collection[str] = ()
    """Keys of the first level that only hold secrets."""
    names: Mapping[tuple[str, ...], Collection[str]]
    """Paths of names that are looked up in a table, of which a type alone says little, with the table's names."""
    encrypted: Collection[str] = ()
    """Keys of ``raw`` with something encrypted in them: no value of theirs may be shown or stand in a command."""

    def errors(self, error: ValidationError) -> list[ConfigError]:
        """Turn pydantic's findings about plain settings into errors."""
        findings = _findings(error)
        moved = [self._meant_place(each.path) for each in findings if each.kind == "extra_forbidden"]
        found = []
        for each in findings:
            deeper = [other for other in findings if other.path[: len(each.path)] == each.path != other.path]
            if each.kind == "string_type" and deeper:
                continue  # a map where a name or a map may stand: its own errors say more
            if each.kind == "missing" and each.path in moved:
                continue  # it is there, under a mistyped key
            found.append(self._error(each))
        return _without_repeats(found)

    def _error(self, finding: Finding) -> ConfigError:
        path, kind, reason = finding.path, finding.kind, finding.reason
        if kind == "extra_forbidden":
            return self._unknown_key(path)
        if path[-1] == "[key]":
            path, mend = path[:-1], self._renamed_key(path[:-1])
        elif kind in {"model_type", "dict_type"} and path != ["model"]:
            mend = self._instead_of_a_map(path)
        elif inside := self._list_around(path):
            mend = self._new_list(inside)
        else:
            mend = self._new_value(path)
        return ConfigError(".".join(path), reason, mend, self._shown(path))

    def _unknown_key(self, path: list[str]) -> ConfigError:
        around, name = path[:-1], path[-1]
        known = sorted([*fields_at(self.model, around), *(() if around else self.secrets)])
        right = self._meant_place(path)
        hint, remove = "", rm_line(path, self.stack)
        mend = (right and self._moved(path, right)) or remove
        if right:
            there = mend == remove and value_at(self.raw, right) is not None
            hint = f"did you mean {right[-1] if right[:-1] == around else '.'.join(right)}"
            hint += ", which the file has, too? " if there else "? "
        reason = f"unknown key; {hint}there are: {', '.join(known)}"
        return ConfigError(".".join(path), reason, mend, None if sounds_secret(name) else self._shown(path))

    def _meant_place(self, path: list[str]) -> list[str] | None:
        """Where a value under an unknown key belongs: a key beside it that is close, or one of its name elsewhere."""
        around, name = path[:-1], path[-1]
        known = sorted([*fields_at(self.model, around), *(() if around else self.secrets)])
        if close := meant_name(name, known):
            return [*around, close]
        place = only_place_of(self.model, name)
        value = self._read(place, value_at(self.raw, path), self.raw) if place else None
        return place if place and adds_no_error(self.model, self.raw, place, value) else None

    def _moved(self, path: list[str], right: list[str]) -> str | None:
        """The commands that move a value to the key that was meant; None where it can't stand there."""
        value, there = value_at(self.raw, path), value_at(self.raw, right)
        if self._is_secret(path) or holds_secret(value) or right[0] in self.secrets:
            if len(path) == len(right) == 1 and there is None:
                return rename_line(path[0], right[0], self.stack)
            return None
        settings = isinstance(value, Mapping) and bool(fields_at(self.model, right))
        if not settings:
            meant = None if there is not None else self._read(right, value, self.raw)
            lines = [] if meant is None else list(set_value_lines(right, meant, self.stack))
            return " && ".join([rm_line(path, self.stack), *lines]) if lines else None
        moved = {**self.raw, right[0]: _nested(right[1:], value, self.raw.get(right[0]))}
        lines = [rm_line(path, self.stack)]
        for leaf, given in _leaves(right, value):
            if value_at(self.raw, leaf) is None:  # what the right key says wins
                meant = self._read(leaf, given, moved)
                lines += set_value_lines(leaf, given if meant is None else meant, self.stack)
        return " && ".join(lines)

    def _read(self, path: list[str], value: Any, raw: Mapping[str, Any]) -> Any:
        """``value`` if it may stand at ``path``, else what it was meant to be there; None where that can't be read."""
        if accepts(self.model, raw, path, value):
            return value
        placed = placed_in(raw, path, value)
        return (meant_list if wants_list(self.model, path) else meant_value)(self.model, placed, path)

    def _renamed_key(self, path: list[str]) -> str:
        """The commands for a map's key that must not be: to the key that was meant, or out of the file."""
        remove, value = rm_line(path, self.stack), value_at(self.raw, path)
        if self._is_secret(path) or holds_secret(value) or not isinstance(value, str | int | float | bool):
            return remove
        for name in self._meant_keys(path):
            right = [*path[:-1], name]
            if value_at(self.raw, right) is None and accepts(self.model, self.raw, right, value):
                return f"{remove} && {set_value_line(right, value, self.stack)}"
        return remove

    def _meant_keys(self, path: list[str]) -> Iterator[str]:
        given = path[-1].strip()
        if words := key_words(self.model, path[:-1]):
            close = meant_name(given, words)
            yield from [close] if close else []
            return
        bare = given.lstrip("-")
        yield from (bare, bare.replace("_", "-"), bare.replace("-", "_"), bare.lower().replace("_", "-"))

    def _instead_of_a_map(self, path: list[str]) -> str:
        """Where a map should stand: a single value becomes the one field that is needed, else the default holds."""
        remove, value = rm_line(path, self.stack), value_at(self.raw, path)
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
            if isinstance(value, Mapping) and fields_at(self.model, path) and not holds_secret(value):
                return " && ".join([remove, *set_value_lines(path, value, self.stack)])
        needed = only_needed_field(self.model, path)
        if needed and isinstance(value, str) and not self._is_secret(path):
            right = [*path, needed]
            return f"{remove} && {set_value_line(right, value, self.stack)}"
        return remove

    def _list_around(self, path: list[str]) -> list[str] | None:
        """The path of the list that the error is in or should be one; None outside of lists."""
        for length in range(1, len(path) + 1):
            if wants_list(self.model, path[:length]):
                return path[:length]
        return None

    def _new_list(self, path: list[str]) -> str:
        meant = None if self._is_secret(path) else meant_list(self.model, self.raw, path)
        # All of it anew: Pulumi moves the elements behind one that is removed, and keeps the types of those that stay.
        lines = set_value_lines(path, meant, self.stack) if meant else ()
        return " && ".join([rm_line(path, self.stack), *lines])

    def _new_value(self, path: list[str]) -> str:
        remove, given = rm_line(path, self.stack), value_at(self.raw, path)
        field = field_at(self.model, path)[1]
        value: Scalar | None = None
        if table := self.names.get(tuple(path)):
            value = meant_entry(given, sorted(table)) if isinstance(given, str) else None
        elif not self._is_secret(path) or path[-1] == "host_key":  # a public one
            value = meant_value(self.model, self.raw, path)
        mend = set_line(self.model, path, self.stack) if value is None else set_value_line(path, value, self.stack)
        after = example_at(self.model, path) if value is None and field else value
        if isinstance(given, str | list | Mapping) and not (isinstance(given, str) and isinstance(after, str)):
            # Pulumi keeps a value's type when it sets it anew: over "5" it writes "6".
            return mend if mend == remove else f"{remove} && {mend}"
        return mend

    def _is_secret(self, path: list[str]) -> bool:
        """Whether what stands at ``path`` may be a secret, put where it doesn't belong or not."""
        if path[0] in self.encrypted:
            return True
        _, field, known = field_at(self.model, path)
        exact = field is not None and known == len(path)
        return sounds_secret(path[-1]) and is_text(field.annotation if field and exact else None)

    def _shown(self, path: list[str]) -> str | None:
        return None if self._is_secret(path) else shown(value_at(self.raw, path))


def secret_errors(error: ValidationError, stack: str) -> list[ConfigError]:
    """Turn pydantic's findings about secrets into errors; their values are never repeated."""
    return _without_repeats(
        [ConfigError(".".join(each.path), each.reason, set_secret_line(each.path, stack)) for each in _findings(error)]
    )


def _findings(error: ValidationError) -> list[Finding]:
    return [
        Finding(
            [
                MapKey(part) if isinstance(part, str) else str(part)
                for part in detail["loc"]
                if not _is_union_branch(str(part))
            ],
            detail["type"],
            detail["msg"].removeprefix("Value error, "),
        )
        for detail in error.errors(include_url=False, include_context=False, include_input=False)
    ]


def _is_union_branch(part: str) -> bool:
    """pydantic names the branch of a union in the location: ``str``, ``InlineModel``, ``constrained-str``."""
    return part in {"str", "int", "float", "bool", "InlineModel", "TlsFiles", "TlsWord"} or part.startswith(
        ("constrained-", "function-", "literal[")
    )


def _without_repeats(errors: list[ConfigError]) -> list[ConfigError]:
    """A key with a union type yields one finding a branch; the reader needs the key once."""
    by_key: dict[str, ConfigError] = {}
    for error in errors:
        first = by_key.setdefault(error.key, error)
        if error.reason not in first.reason:
            by_key[error.key] = ConfigError(first.key, f"{first.reason}; or: {error.reason}", first.mend, first.value)
    return list(by_key.values())


def _leaves(path: list[str], value: Any) -> Iterator[tuple[list[str], Any]]:
    """Every value below ``path`` that is no map, with its own path."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves([*path, MapKey(key)], inner)
    else:
        yield path, value


def _nested(path: list[str], value: Mapping[str, Any], there: Any) -> dict[str, Any]:
    """The map ``there`` with those of ``value`` at ``path`` that it does not have."""
    beside = dict(there) if isinstance(there, Mapping) else {}
    if path:
        return {**beside, path[0]: _nested(path[1:], value, beside.get(path[0]))}
    return {**value, **beside}
