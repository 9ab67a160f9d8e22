"""Draft: what the rules look at, a stack file whose settings are fine one by one."""

from __future__ import annotations

from dataclasses import dataclass

from planning.memory.cards import Card
from planning.settings.areas import StackSecrets, StackSettings
from planning.settings.config_commands import rm_line, set_value_line
from planning.settings.model import InlineModel


@dataclass(frozen=True, kw_only=True)
class Draft:
    """What could not be looked up is None, and has an error of its own."""

    stack: str
    settings: StackSettings
    secrets: StackSecrets | None
    model: InlineModel | None
    image: str | None
    card: Card | None

    def set_line(self, path: str, value: str | int | float | bool) -> str:
        return set_value_line(path.split("."), value, self.stack)

    def rm_line(self, path: str) -> str:
        return rm_line(path.split("."), self.stack)

    @property
    def card_count(self) -> int:
        gpus = self.settings.host.gpus
        return gpus.count if gpus else 0
