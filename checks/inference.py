"""Does the model answer, through the gateway, with text that makes sense, and only to those with a key?"""

from __future__ import annotations

import time
from typing import Any

from checks.answers import question_to, what_is_missing, what_is_wrong
from checks.asking import Asker
from checks.facts import InferenceFacts


def inference(facts: InferenceFacts) -> dict[str, Any]:
    """List the models, ask a question whose answer is known, and be refused without a key and off the list."""
    api = Asker(facts, facts["api_url"].removesuffix("/v1"))
    missing = what_is_missing(api.request("GET", "/v1/models").json(), facts["served_models"])
    if missing:
        raise api.failure(*missing)
    started = time.monotonic()
    answer = api.request("POST", "/v1/chat/completions", json=question_to("default")).json()
    text = answer["choices"][0]["message"]["content"] or ""
    wrong = what_is_wrong(text)
    if wrong:
        raise api.failure(
            *wrong, "the model is served but does not work: another image version or dtype often mends it"
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
