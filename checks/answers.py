"""The one question whose answer every model knows, and what counts as an answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from math import hypot
from typing import Any

from planning.settings.model import Task

QUESTION = "What is the capital of France? Answer with one short sentence."
EXPECTED_WORD = "paris"
CAPITAL, UNRELATED = "The capital of France is Paris.", "The harbour closes at noon on 24 December."
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


def question_for(task: Task, model: str) -> tuple[str, dict[str, Any]]:
    """The path and the body that a model of this task is asked with."""
    if task == "embedding":
        return "/v1/embeddings", {"model": model, "input": [CAPITAL, QUESTION, UNRELATED]}
    if task == "rerank":
        return "/v1/rerank", {"model": model, "query": QUESTION, "documents": [UNRELATED, CAPITAL]}
    return "/v1/chat/completions", question_to(model)


def what_is_wrong_with(task: Task, answer: Any) -> tuple[str, tuple[str, str] | None]:
    """What a model said, and what was expected and came instead, or nothing if the answer is right."""
    try:
        if task == "embedding":
            right, question, wrong = (each["embedding"] for each in answer["data"])
            near, far = _cosine(right, question), _cosine(right, wrong)
            said = f"{len(right)} numbers; similarities {near:.2f} and {far:.2f}"
            return said, None if near > far else (f"{CAPITAL!r} nearer to its question than to {UNRELATED!r}", said)
        if task == "rerank":
            best = max(answer["results"], key=lambda each: float(each["relevance_score"]))
            said = f"document {best['index']} first"
            return said, None if best["index"] == 1 else (f"{CAPITAL!r} before {UNRELATED!r}", said)
        text = str(answer["choices"][0]["message"]["content"] or "")
    except (KeyError, IndexError, TypeError, ValueError, ZeroDivisionError):
        return "", (f"an answer to {QUESTION!r}", str(answer)[:400])
    return text.strip(), what_is_wrong(text)


def _cosine(one: Sequence[float], other: Sequence[float]) -> float:
    """Similarity of two directions; ZeroDivisionError if one has none."""
    return sum(a * b for a, b in zip(one, other, strict=True)) / (hypot(*one) * hypot(*other))


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
