"""Faults of a stack file: all of them at once, each with its key, the reason and the line that mends it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

NAMESPACE = "pageindex-stack"


@dataclass(frozen=True)
class Problem:
    """One fault. ``value`` is what the file says, or None where it says nothing or must not be shown."""

    key: str
    reason: str
    mend: str
    value: str | None = None

    def __str__(self) -> str:
        shown = f" = {self.value}" if self.value is not None else ""
        return f"{NAMESPACE}:{self.key}{shown}\n    {self.reason}\n    mend: {self.mend}"


class BadStackFile(Exception):
    """A stack file with faults; its text lists all of them."""

    def __init__(self, stack: str, problems: Iterable[Problem]):
        self.problems = tuple(problems)
        count = len(self.problems)
        head = f"Pulumi.{stack}.yaml has {count} fault{'s' if count != 1 else ''}; nothing was touched:"
        super().__init__("\n\n".join([head, *map(str, self.problems)]))


def problems_of_settings(
    error: ValidationError, model: type[BaseModel], raw: Mapping[str, Any], stack: str
) -> list[Problem]:
    """Turn pydantic's findings about plain settings into faults."""
    found = []
    for path, kind, reason in _findings(error):
        key = ".".join(path)
        remove = f"pulumi config rm -s {stack}{_path_flag(path)}"
        if kind == "extra_forbidden":
            known = ", ".join(sorted(_fields_at(model, path[:-1])))
            found.append(Problem(key, f"unknown key; there are: {known}", remove, _shown(raw, path)))
        elif (kind == "model_type" and path[:1] != ["model"]) or path[-1:] == ["[key]"]:
            # A whole area, or a name that must not be: without it, the defaults hold.
            path = path[:-1] if path[-1] == "[key]" else path
            remove = f"pulumi config rm -s {stack}{_path_flag(path)}"
            found.append(Problem(".".join(path), reason, remove, _shown(raw, path)))
        else:
            found.append(Problem(key, reason, set_line(model, path, stack), _shown(raw, path)))
    return _without_repeats(found)


def problems_of_secrets(error: ValidationError, stack: str) -> list[Problem]:
    """Turn pydantic's findings about secrets into faults; their values are never repeated."""
    return _without_repeats(
        [Problem(".".join(path), reason, set_secret_line(path, stack)) for path, _, reason in _findings(error)]
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


def _without_repeats(problems: list[Problem]) -> list[Problem]:
    """A key with a union type yields one finding a branch; the reader needs the key once."""
    by_key: dict[str, Problem] = {}
    for problem in problems:
        if problem.key in by_key:
            first = by_key[problem.key]
            if problem.reason not in first.reason:
                by_key[problem.key] = Problem(
                    first.key, f"{first.reason}; or: {problem.reason}", first.mend, first.value
                )
        else:
            by_key[problem.key] = problem
    return list(by_key.values())


def _is_union_branch(part: str) -> bool:
    """pydantic names the branch of a union in the location: ``str``, ``InlineModel``, ``constrained-str``."""
    return part in {"str", "InlineModel"} or part.startswith(("constrained-", "function-", "literal["))


def _path_flag(path: list[str]) -> str:
    return f" {path[0]}" if len(path) == 1 else f" --path {shlex.quote('.'.join(path))}"


def set_secret_line(path: list[str], stack: str) -> str:
    """The command that sets a secret; the value comes by a pipe or prompt, so that no command line ever holds it."""
    if path[0] == "api_keys":
        where = ".".join(path) if len(path) > 1 else "api_keys.NAME"
        return f"openssl rand -hex 32 | pulumi config set -s {stack} --secret --path {shlex.quote(where)}"
    return f"pulumi config set -s {stack} --secret {path[0]}"


def set_line(model: type[BaseModel], path: list[str], stack: str) -> str:
    """The command that sets ``path`` to a value that passes."""
    example = _example_at(model, path)
    if isinstance(example, dict):
        inner = next(iter(example))
        return set_line(model, [*path, inner], stack)
    if isinstance(example, list):
        first = shlex.quote(".".join(path) + "[0]")
        return f"pulumi config set -s {stack} --path {first} {shlex.quote(str(example[0]))}"
    text = json.dumps(example) if isinstance(example, bool) else str(example)
    return f"pulumi config set -s {stack}{_path_flag(path)} {shlex.quote(text)}"


def _fields_at(model: type[BaseModel], path: list[str]) -> Mapping[str, FieldInfo]:
    """The fields of the area that ``path`` leads to; empty where the path leaves the models."""
    current: type[BaseModel] | None = model
    for part in path:
        field = current.model_fields.get(part) if current else None
        current = _model_in(field.annotation) if field else None
    return current.model_fields if current else {}


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        found = _model_in(argument)
        if found:
            return found
    return None


def _example_at(model: type[BaseModel], path: list[str]) -> Any:
    """A value that passes: the field's example, else its default."""
    field = _fields_at(model, path[:-1]).get(path[-1]) if path else None
    if field is None:
        return "…"
    if field.examples:
        return field.examples[0]
    return field.get_default(call_default_factory=True, validated_data={}) if not field.is_required() else "…"


def _shown(raw: Mapping[str, Any], path: list[str]) -> str | None:
    value: Any = raw
    for part in path:
        if isinstance(value, Mapping) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
