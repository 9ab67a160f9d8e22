"""Does a replica serve what it shall, and does it make sense? Asked before it gets the first request of a client."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from checks.answers import QUESTION, question_to, what_is_missing, what_is_wrong

Ask = Callable[[str, Mapping[str, Any] | None], Any]
Unfit = Callable[[str, str], Exception]


def check_model(ask: Ask, served_models: Sequence[str], unfit: Unfit) -> str:
    """The model's answer; raises what ``unfit`` makes of what was expected and what came."""
    missing = what_is_missing(ask("/v1/models", None), served_models)
    if missing:
        raise unfit(*missing)
    answer = ask("/v1/chat/completions", question_to(served_models[-1]))
    try:
        text = str(answer["choices"][0]["message"]["content"] or "")
    except (KeyError, IndexError, TypeError):
        raise unfit(f"an answer to {QUESTION!r}", str(answer)[:400]) from None
    wrong = what_is_wrong(text)
    if wrong:
        raise unfit(*wrong)
    return text.strip()
