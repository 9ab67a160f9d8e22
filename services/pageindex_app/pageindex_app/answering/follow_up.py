"""Follow-up questions, such as "And how old is it?": they need what was said before."""

import re
from collections.abc import Sequence

from ..base.settings import CHARS_PER_TOKEN
from ..search import text
from .strategy import Turn

HISTORY_TOKENS = 400  # of earlier turns shown to a model; more confuse a small one
_POINTS_BACK = re.compile(
    r"\b(?:it|its|they|them|their|he|him|his|she|her|hers|that|this|these|those|there|then|one|ones|same|both)\b"
    r"|^(?:and|but|so|or|why|what about|how about|since when|who else|what else)\b",
    re.IGNORECASE,
)
_WORDS_FEW = 2  # a question with fewer words of its own says too little to search with


def in_context(question: str, history: Sequence[Turn]) -> str:
    """The question together with the one before it, if it points back.

    A question that stands by itself stays as it is: earlier words would mislead the search.
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
