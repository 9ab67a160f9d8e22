"""The one question whose answer every model knows, and what counts as an answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

QUESTION = "What is the capital of France? Answer with one short sentence."
EXPECTED_WORD = "paris"
MOST_COMMON_SHARE = 0.6  # "!!!!!!!!", seen from broken kernels, is one character over and over


def question_to(model: str) -> dict[str, Any]:
    """A body for /v1/chat/completions."""
    messages = [{"role": "user", "content": QUESTION}]
    return {"model": model, "messages": messages, "max_tokens": 512, "temperature": 0}


def what_is_wrong(text: str) -> tuple[str, str] | None:
    """What was expected and what came, or nothing if the answer is right."""
    problem = nonsense(text)
    if not problem and EXPECTED_WORD in text.lower():
        return None
    got = f"{text[:200]!r}{f' ({problem})' if problem else ''}"
    return f"an answer with {EXPECTED_WORD.title()} to {QUESTION!r}", got


def what_is_missing(listing: Mapping[str, Any], wanted: Sequence[str]) -> tuple[str, str] | None:
    """What was expected of /v1/models and what came, or nothing if every wanted model is listed."""
    served = {model["id"] for model in listing.get("data", [])}
    if set(wanted) <= served:
        return None
    return f"models {', '.join(wanted)}", f"only {', '.join(sorted(served)) or str(listing)[:200]}"


def nonsense(text: str) -> str:
    """Why a text cannot be an answer, or nothing if it can."""
    letters = [character for character in text if not character.isspace()]
    if not letters:
        return "empty"
    character, count = Counter(letters).most_common(1)[0]
    if len(letters) >= 8 and count / len(letters) > MOST_COMMON_SHARE:
        return f"{count} of {len(letters)} characters are {character!r}"
    return ""
