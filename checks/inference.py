"""Does the model answer, through the gateway, with text that makes sense, and only to those with a key?"""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

from checks.http_client import Asker

QUESTION = "What is the capital of France? Answer with one short sentence."
EXPECTED_WORD = "paris"
MOST_COMMON_SHARE = 0.6  # "!!!!!!!!", seen from broken kernels, is one character over and over


def inference(facts: dict[str, Any]) -> dict[str, Any]:
    """List the models, ask a question whose answer is known, and be refused without a key and off the list."""
    api = Asker(facts, facts["api_url"].removesuffix("/v1"))
    served = {model["id"] for model in api.request("GET", "/v1/models").json()["data"]}
    missing = sorted(set(facts["served_models"]) - served)
    if missing:
        raise api.failure(f"models {', '.join(facts['served_models'])}", f"only {', '.join(sorted(served))}")
    started = time.monotonic()
    body = {
        "model": "default",
        "messages": [{"role": "user", "content": QUESTION}],
        "max_tokens": 512,
        "temperature": 0,
    }
    answer = api.request("POST", "/v1/chat/completions", json=body).json()
    text = answer["choices"][0]["message"]["content"] or ""
    problem = nonsense(text)
    if problem or EXPECTED_WORD not in text.lower():
        raise api.failure(
            f"an answer with {EXPECTED_WORD.title()} to {QUESTION!r}",
            f"{text[:200]!r}{f' ({problem})' if problem else ''}",
            "the model is served but does not work: another image version or dtype often mends it",
        )
    api.request("GET", "/v1/models", 401, headers={"Authorization": ""})
    api.request("GET", "/metrics", 404)
    return {
        "check": "inference",
        "ok": True,
        "answer": text.strip(),
        "seconds": round(time.monotonic() - started, 2),
        "seen": ["the answer is right", "401 without a key", "404 off the list"],
    }


def nonsense(text: str) -> str:
    """Why a text cannot be an answer, or nothing if it can."""
    letters = [character for character in text if not character.isspace()]
    if not letters:
        return "empty"
    character, count = Counter(letters).most_common(1)[0]
    if len(letters) >= 8 and count / len(letters) > MOST_COMMON_SHARE:
        return f"{count} of {len(letters)} characters are {character!r}"
    return ""
