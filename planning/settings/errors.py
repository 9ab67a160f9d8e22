"""Faults of a stack file: all of them at once, each with its key, the reason and the line that mends it."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

NAMESPACE = "pageindex-stack"


@dataclass(frozen=True)
class ConfigError:
    """One fault. ``value`` is what the file says, or None where it says nothing or must not be shown."""

    key: str
    reason: str
    mend: str
    value: str | None = None

    def concerns(self, *keys: str) -> bool:
        """Whether the error is about one of ``keys`` or something below it."""
        return any(self.key == key or self.key.startswith((f"{key}.", f"{key}[")) for key in keys)

    def __str__(self) -> str:
        shown = f" = {self.value}" if self.value is not None else ""
        reason = self.reason.replace("\n", "\n    ")
        return f"{NAMESPACE}:{self.key}{shown}\n    {reason}\n    mend: {self.mend}"


class BadStackFile(Exception):
    """A stack file with faults; its text lists all of them."""

    def __init__(self, stack: str, problems: Iterable[ConfigError]):
        self.problems = tuple(problems)
        count = len(self.problems)
        head = f"Pulumi.{stack}.yaml has {count} fault{'s' if count != 1 else ''}; nothing was touched:"
        super().__init__("\n\n".join([head, *map(str, self.problems)]))


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
        key = ".".join(path)
        remove = rm_line(path, stack)
        if kind == "extra_forbidden":
            known = ", ".join(sorted(_fields_at(model, path[:-1])))
            found.append(ConfigError(key, f"unknown key; there are: {known}", remove, _shown(raw, path)))
        elif (kind == "model_type" and path[:1] != ["model"]) or path[-1:] == ["[key]"]:
            # A whole area, or a name that must not be: without it, the defaults hold.
            path = path[:-1] if path[-1] == "[key]" else path
            found.append(ConfigError(".".join(path), reason, rm_line(path, stack), _shown(raw, path)))
        else:
            mend = set_line(model, path, stack)
            if isinstance(_value_at(raw, path), str) and not isinstance(_example_at(model, path), str):
                # Pulumi keeps a value's type when it sets it anew: over "5" it writes "6".
                mend = f"{remove} && {mend}" if mend != remove else mend
            found.append(ConfigError(key, reason, mend, _shown(raw, path)))
    return _without_repeats(found)


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


def path_text(path: Sequence[str]) -> str:
    """A path in Pulumi's notation: ``gateway.clients``, ``host.gpus[0]``, ``api_keys["alice@next"]``."""
    return path[0] + "".join(map(_step, path[1:]))


def _path_flag(path: list[str]) -> str:
    if len(path) == 1:
        return f" {path[0]}"
    return f" --path {shlex.quote(path_text(path))}"


def _step(part: str) -> str:
    """One step of a path in Pulumi's notation."""
    if part.isdigit():
        return f"[{part}]"
    return f".{part}" if re.fullmatch(r"[\w-]+", part) else f"[{json.dumps(part)}]"


def rm_line(path: list[str], stack: str) -> str:
    """The command that takes ``path`` out of the file, so that its default holds."""
    return f"pulumi config rm -s {stack}{_path_flag(path)}"


def set_value_line(path: list[str], value: str | int | float | bool, stack: str) -> str:
    """The command that sets ``path`` to ``value``. Inside an area Pulumi guesses types, and makes 0.9 a string."""
    text = json.dumps(value) if isinstance(value, bool) else str(value)
    kind = ""
    if isinstance(value, float):
        kind = " --type float"
    elif isinstance(value, str) and len(path) > 1 and (text in {"true", "false"} or text.lstrip("+-").isdigit()):
        kind = " --type string"
    dashes = " --" if text.startswith("-") else ""
    return f"pulumi config set -s {stack}{kind}{_path_flag(path)}{dashes} {shlex.quote(text)}"


def set_secret_line(path: list[str], stack: str) -> str:
    """The command that sets a secret; the value comes by a pipe or prompt, so that no command line ever holds it."""
    if path[0] == "api_keys":
        where = ".".join(path) if len(path) > 1 else "api_keys.NAME"
        return f"openssl rand -hex 32 | pulumi config set -s {stack} --secret --path {shlex.quote(where)}"
    return f"pulumi config set -s {stack} --secret {path[0]}"


def set_line(model: type[BaseModel], path: list[str], stack: str) -> str:
    """The command that sets ``path`` to a value that passes, or takes it out where its default is to have none."""
    known = path[: _walk(model, path)[2]]
    example = _example_at(model, known)
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


def _walk(model: type[BaseModel], path: list[str]) -> tuple[type[BaseModel] | None, FieldInfo | None, int]:
    """Follow ``path``: the model it leads into, the field it ends at, and how many of its parts are known."""
    current: type[BaseModel] | None = model
    field: FieldInfo | None = None
    key_follows = False
    for count, part in enumerate(path):
        if key_follows:  # a map from names to areas: any name leads on
            key_follows, field = False, None
        elif current and part in current.model_fields:
            field = current.model_fields[part]
            current = _model_in(field.annotation)
            key_follows = current is not None and get_origin(field.annotation) is dict
        else:
            return current, field, count
    return current, field, len(path)


def _fields_at(model: type[BaseModel], path: list[str]) -> Mapping[str, FieldInfo]:
    """The fields of the area that ``path`` leads to; empty where the path leaves the models."""
    area, _, known = _walk(model, path)
    return area.model_fields if area and known == len(path) else {}


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
    _, field, _ = _walk(model, path)
    if field is None:
        return None
    if field.examples:
        return field.examples[0]
    return None if field.is_required() else field.get_default(call_default_factory=True, validated_data={})


def _shown(raw: Mapping[str, Any], path: list[str]) -> str | None:
    if sounds_secret(path[-1]):
        return None  # a secret under a misspelt or wrong key
    value = _value_at(raw, path)
    if value is None:
        return None
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _value_at(raw: Mapping[str, Any], path: list[str]) -> Any:
    """What the file says at ``path``; None where it says nothing."""
    value: Any = raw
    for part in path:
        if isinstance(value, Mapping) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value
