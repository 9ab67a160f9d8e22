"""Command lines that mend a stack file, most of them `pulumi config`. A secret's value never stands in one."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any


class MapKey(str):
    """One part of a path that is the key of a map, even where it looks like an index."""

    __slots__ = ()


def path_text(path: Sequence[str]) -> str:
    """A path in Pulumi's notation: ``gateway.clients``, ``host.gpus[0]``, ``api_keys["alice@next"]``."""
    return path[0] + "".join(map(_step, path[1:]))


def _path_flag(path: list[str]) -> str:
    if len(path) == 1:
        return f" {shlex.quote(path[0])}"
    return f" --path {shlex.quote(path_text(path))}"


def _step(part: str) -> str:
    """One step of a path in Pulumi's notation."""
    if part.isdigit():
        return f'["{part}"]' if isinstance(part, MapKey) else f"[{part}]"
    return f".{part}" if re.fullmatch(r"[\w-]+", part) else f"[{json.dumps(part)}]"


def rm_line(path: list[str], stack: str) -> str:
    """The command that takes ``path`` out of the file, so that its default holds."""
    return f"pulumi config rm -s {stack}{_path_flag(path)}"


def set_value_line(path: list[str], value: str | int | float | bool, stack: str) -> str:
    """The command that sets ``path`` to ``value``. Below the first key Pulumi guesses types, and makes 0.9 a string."""
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


def set_value_lines(path: list[str], value: Any, stack: str) -> Iterator[str]:
    """The commands that set ``path`` to a value of any shape, one for each of its leaves."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from set_value_lines([*path, MapKey(key)], inner, stack)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from set_value_lines([*path, str(index)], inner, stack)
    elif value is not None:
        yield set_value_line(path, value, stack)


def rename_line(wrong: str, right: str, stack: str) -> str:
    """The command that renames a key in the file itself: its value stays as it is, an encrypted one too.

    Without a namespace both are keys of this program, which may stand in the file without one.
    """
    namespace, colon, name = wrong.rpartition(":")
    before = rf"[^A-Za-z0-9_.-]){_pattern(namespace)}:" if colon else r" *[^A-Za-z0-9_.-]?|[^ ]+:)"
    group = "(^|" if colon else "(^"
    new = re.sub(r"([\\/&])", r"\\\1", right)
    edit = rf"s/{group}{before}(config:)?{_pattern(name)}([^A-Za-z0-9_.-]? *:)/\1{new}\3/"
    return f"sed -Ei {shlex.quote(edit)} Pulumi.{stack}.yaml"


def _pattern(text: str) -> str:
    """A regular expression of sed's for exactly ``text``."""
    return re.sub(r"([][\\.*^$/+?(){}|])", r"\\\1", text)
