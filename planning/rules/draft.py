"""Draft: what the rules look at, one model of a stack file whose settings are fine one by one."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from planning.memory.cards import Card
from planning.settings.areas import StackSecrets, StackSettings
from planning.settings.config_commands import rm_line, set_value_line
from planning.settings.errors import ConfigError
from planning.settings.model import InlineModel
from planning.settings.models import ModelSettings

# Where one of several models says what `model_cache` says of a single one.
OF_A_MODEL = ("model_cache.revision", "model_cache.local_path")


@dataclass(frozen=True, kw_only=True)
class Draft:
    """One model, in the words of a stack file that has no other: `settings.model` and `settings.vllm` are its own.

    ``name`` is what the stack file calls it among several. What could not be looked up is None, and has an error of its
    own.
    """

    stack: str
    settings: StackSettings
    secrets: StackSecrets | None
    model: InlineModel | None
    image: str | None
    card: Card | None
    name: str = ""
    neighbours: tuple[str, ...] = ()
    """Other models on its cards."""

    def set_line(self, path: str, value: str | int | float | bool) -> str:
        return set_value_line(self.path(path).split("."), value, self.stack)

    def rm_line(self, path: str) -> str:
        return rm_line(self.path(path).split("."), self.stack)

    def path(self, path: str) -> str:
        """Where the stack file says what a file with one model says at ``path``."""
        if not self.name:
            return path
        if path in OF_A_MODEL:
            return f"models.{self.name}.{path.rpartition('.')[2]}"
        if path == "model" or path.startswith("model."):
            return f"models.{self.name}.{path}"
        return re.sub(r"^vllm\b", f"models.{self.name}", path)

    def said_here(self, error: ConfigError) -> ConfigError:
        """An error about one model, where this stack file has it."""
        if not self.name:
            return error
        reason = re.sub(r"\bvllm\.(?=[a-z]+_?)", f"models.{self.name}.", error.reason)
        return replace(error, key=self.path(error.key), reason=reason)

    @property
    def card_count(self) -> int:
        return self.settings.host.card_count


def as_single(settings: StackSettings, model: ModelSettings) -> StackSettings:
    """The stack as its file would say it with this model alone."""
    cache = settings.model_cache.model_copy(update={"revision": model.revision, "local_path": model.local_path})
    alone: dict[str, Any] = {
        "models": {},
        "default_model": None,
        "model": model.model,
        "vllm": model.vllm,
        "model_cache": cache,
    }
    return settings.model_copy(update=alone)
