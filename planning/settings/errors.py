"""Errors of a stack file: all of them at once, each with its key, the reason and the line that mends it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

NAMESPACE = "pageindex-stack"


@dataclass(frozen=True)
class ConfigError:
    """One error. ``value`` is what the file says, or None where it says nothing or must not be shown."""

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
    """A stack file with errors; its text lists all of them."""

    def __init__(self, stack: str, errors: Iterable[ConfigError]):
        self.errors = tuple(errors)
        count = len(self.errors)
        head = f"Pulumi.{stack}.yaml has {count} fault{'s' if count != 1 else ''}; nothing was touched:"
        super().__init__("\n\n".join([head, *map(str, self.errors)]))


def sounds_secret(name: str) -> bool:
    """Whether a key's name says that its value must not be shown."""
    return re.search(r"key|token|secret|passw", name, re.IGNORECASE) is not None


def holds_secret(value: Any) -> bool:
    """Whether text that must not be shown stands somewhere in a value."""
    if isinstance(value, Mapping):
        return any(
            (sounds_secret(str(key)) and isinstance(inner, str)) or holds_secret(inner) for key, inner in value.items()
        )
    return isinstance(value, list) and any(map(holds_secret, value))


def shown(value: Any) -> str | None:
    """A value as an error shows it: cut where it is long, without the text of secrets in it."""
    if value is None:
        return None
    text = json.dumps(_without_secrets(value), default=str)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _without_secrets(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            key: "…" if sounds_secret(str(key)) and isinstance(inner, str) else _without_secrets(inner)
            for key, inner in value.items()
        }
    return [_without_secrets(inner) for inner in value] if isinstance(value, list) else value
