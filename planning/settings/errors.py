"""Faults of a stack file: all of them at once, each with its key, the reason and the line that mends it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from planning.settings.config_commands import rm_line, set_secret_line, set_value_line, set_value_lines
from planning.settings.fields import example_at, field_at, fields_at, set_line
from planning.settings.meant_values import accepts, meant_name, meant_value, value_at

NAMESPACE = "pageindex-stack"
LOOKED_UP = (["model"], ["vllm", "image"])  # names of tables, of which a type alone says little


@dataclass(frozen=True)
class ConfigError:
    """One fault. ``value`` is what the file says, or None where it says nothing or must not be shown."""

    key: str
    reason: str
    mend: str
    value: str | None = None
    namespace: str = NAMESPACE

    def concerns(self, *keys: str) -> bool:
        """Whether the error is about one of ``keys`` or something below it."""
        return any(self.key == key or self.key.startswith((f"{key}.", f"{key}[")) for key in keys)

    def __str__(self) -> str:
        shown = f" = {self.value}" if self.value is not None else ""
        reason = self.reason.replace("\n", "\n    ")
        return f"{self.namespace}:{self.key}{shown}\n    {reason}\n    mend: {self.mend}"


class BadStackFile(Exception):
    """A stack file with faults; its text lists all of them."""

    def __init__(self, stack: str, errors: Iterable[ConfigError]):
        self.errors = tuple(errors)
        count = len(self.errors)
        head = f"Pulumi.{stack}.yaml has {count} fault{'s' if count != 1 else ''}; nothing was touched:"
        super().__init__("\n\n".join([head, *map(str, self.errors)]))


def settings_errors(
    error: ValidationError, model: type[BaseModel], raw: Mapping[str, Any], stack: str
) -> list[ConfigError]:
    """Turn pydantic's findings about plain settings into faults."""
    found = []
    findings = _findings(error)
    for path, kind, reason in findings:
        if kind == "string_type" and any(
            other[: len(path)] == path and len(other) > len(path) for other, *_ in findings
        ):
            continue  # a map where a name or a map may stand: its own faults say more
        found.append(_settings_error(model, raw, path, kind, reason, stack))
    return _without_repeats(found)


def _settings_error(
    model: type[BaseModel], raw: Mapping[str, Any], path: list[str], kind: str, reason: str, stack: str
) -> ConfigError:
    """One finding with the command that mends it: to the value that was meant where it can be read."""
    shown, remove = _shown(raw, path), rm_line(path, stack)
    if kind == "extra_forbidden":
        known = sorted(fields_at(model, path[:-1]))
        meant = meant_name(path[-1], known)
        told = f"unknown key; {f'did you mean {meant}? ' if meant else ''}there are: {', '.join(known)}"
        return ConfigError(".".join(path), told, _moved(model, raw, path, meant, stack) or remove, shown)
    if (kind == "model_type" and path[:1] != ["model"]) or path[-1:] == ["[key]"]:
        # A whole area, or a name that must not be: without it, the defaults hold.
        path = path[:-1] if path[-1] == "[key]" else path
        return ConfigError(".".join(path), reason, rm_line(path, stack), _shown(raw, path))
    given = value_at(raw, path)
    opaque = sounds_secret(path[-1]) or path in LOOKED_UP
    value = None if opaque else meant_value(model, raw, path, field_at(model, path)[1])
    mend = set_line(model, path, stack) if value is None else set_value_line(path, value, stack)
    example = example_at(model, path) if value is None else value
    if isinstance(given, str) and not isinstance(example, str) and mend != remove:
        mend = f"{remove} && {mend}"  # Pulumi keeps a value's type when it sets it anew: over "5" it writes "6"
    return ConfigError(".".join(path), reason, mend, shown)


def _moved(
    model: type[BaseModel], raw: Mapping[str, Any], path: list[str], meant: str | None, stack: str
) -> str | None:
    """The commands that move the value of a mistyped key to the right one; None where that would not mend it."""
    value = value_at(raw, path)
    if (
        meant is None
        or sounds_secret(meant)
        or sounds_secret(path[-1])
        or value_at(raw, [*path[:-1], meant]) is not None
    ):
        return None
    right = [*path[:-1], meant]
    if not accepts(model, raw, right, value):
        return None
    return " && ".join([rm_line(path, stack), *set_value_lines(right, value, stack)])


def secret_errors(error: ValidationError, stack: str) -> list[ConfigError]:
    """Turn pydantic's findings about secrets into faults; their values are never repeated."""
    return _without_repeats(
        [ConfigError(".".join(path), reason, set_secret_line(path, stack)) for path, _, reason in _findings(error)]
    )


def _findings(error: ValidationError) -> list[tuple[list[str], str, str]]:
    """(path, kind, reason) of each finding."""
    return [
        (
            [str(part) for part in detail["loc"] if not _is_union_branch(str(part))],
            detail["type"],
            detail["msg"].removeprefix("Value error, "),
        )
        for detail in error.errors(include_url=False, include_context=False, include_input=False)
    ]


def _without_repeats(problems: list[ConfigError]) -> list[ConfigError]:
    """A key with a union type yields one finding a branch; the reader needs the key once."""
    by_key: dict[str, ConfigError] = {}
    for problem in problems:
        if problem.key in by_key:
            first = by_key[problem.key]
            if problem.reason not in first.reason:
                by_key[problem.key] = ConfigError(
                    first.key, f"{first.reason}; or: {problem.reason}", first.mend, first.value
                )
        else:
            by_key[problem.key] = problem
    return list(by_key.values())


def _is_union_branch(part: str) -> bool:
    """pydantic names the branch of a union in the location: ``str``, ``InlineModel``, ``constrained-str``."""
    return part in {"str", "int", "float", "bool", "InlineModel", "TlsFiles", "TlsWord"} or part.startswith(
        ("constrained-", "function-", "literal[")
    )


def sounds_secret(name: str) -> bool:
    """Whether a key's name says that its value must not be shown."""
    return re.search(r"key|token|secret|passw", name, re.IGNORECASE) is not None


def _shown(raw: Mapping[str, Any], path: list[str]) -> str | None:
    if sounds_secret(path[-1]):
        return None  # a secret under a misspelt or wrong key
    value = value_at(raw, path)
    if value is None:
        return None
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
