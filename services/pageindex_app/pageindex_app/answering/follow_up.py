"""Questions that only make sense after what was said before: "And how old is it?"."""

import re
from collections.abc import Sequence

from ..base.settings import CHARS_PER_TOKEN
from ..search import text
from .strategy import Turn

HISTORY_TOKENS = 400  # of earlier turns shown to a model; a small one loses the thread in more
_POINTS_BACK = re.compile(
    r"\b(?:it|its|they|them|their|he|him|his|she|her|hers|that|this|these|those|there|then|one|ones|same|both)\b"
    r"|^(?:and|but|so|or|why|what about|how about|since when|who else|what else)\b",
    re.IGNORECASE,
)
_WORDS_FEW = 2  # a question with fewer words of its own says too little to search with


def in_context(question: str, history: Sequence[Turn]) -> str:
    """The question as it would be put to somebody who was not there.

    One that stands by itself is left alone: earlier words would only lead the search astray.
    """
    asked = [turn.content for turn in history if turn.role == "user"]
    points_back = _POINTS_BACK.search(question.strip()) or len(text.terms(question)) < _WORDS_FEW
    if not asked or not points_back:
        return question
    return f"{asked[-1].strip()} {question}"


def last_turns(history: Sequence[Turn], tokens: int = HISTORY_TOKENS) -> list[Turn]:
    """The latest turns that fit, oldest first, beginning with a question."""
    room = tokens * CHARS_PER_TOKEN
    kept: list[Turn] = []
    for turn in reversed(history):
        room -= len(turn.content)
        if room < 0:
            break
        kept.insert(0, turn)
    while kept and kept[0].role != "user":
        kept.pop(0)
    return kept
