"""Does a replica serve what it shall, and does it make sense? Asked before it gets the first request of a client."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from checks.answers import question_for, what_is_missing, what_is_wrong_with
from planning.settings.model import Task

Ask = Callable[[str, Mapping[str, Any] | None], Any]
Unfit = Callable[[str, str], Exception]


def check_model(ask: Ask, served_models: Sequence[str], task: Task, unfit: Unfit) -> str:
    """The model's answer; raises what ``unfit`` makes of what was expected and what came."""
    missing = what_is_missing(ask("/v1/models", None), served_models)
    if missing:
        raise unfit(*missing)
    path, body = question_for(task, served_models[-1])
    said, wrong = what_is_wrong_with(task, ask(path, body))
    if wrong:
        raise unfit(*wrong)
    return said
