"""Does the model answer, through the gateway, with text that makes sense, and only to those with a key?"""

from __future__ import annotations

import time
from typing import Any

from checks.answers import question_for, what_is_missing, what_is_wrong_with
from checks.asking import Asker
from checks.facts import InferenceFacts
from planning.settings.model import Task


def inference(facts: InferenceFacts) -> dict[str, Any]:
    """List the models, ask a question whose answer is known, and be refused without a key and off the list."""
    api = Asker(facts, facts["api_url"].removesuffix("/v1"))
    missing = what_is_missing(api.request("GET", "/v1/models").json(), facts["served_models"])
    if missing:
        raise api.failure(*missing)
    started = time.monotonic()
    said = {name: _ask(api, name, task) for name, task in (facts.get("models") or {"default": "chat"}).items()}
    api.request("GET", "/v1/models", 401, headers={"Authorization": ""})
    api.request("GET", "/metrics", 404)
    return {
        "check": "inference",
        "ok": True,
        "answer": next(iter(said.values())),
        **({"answers": said} if len(said) > 1 else {}),
        "seconds": round(time.monotonic() - started, 2),
        "seen": [
            "the answer is right" if len(said) == 1 else f"{len(said)} right answers",
            "401 without a key",
            "404 off the list",
        ],
    }


def _ask(api: Asker, model: str, task: Task) -> str:
    """What the model says, if that is right."""
    path, body = question_for(task, model)
    said, wrong = what_is_wrong_with(task, api.request("POST", path, json=body).json())
    if wrong:
        hint = "the model is served but does not work: another image version or dtype often mends it"
        raise api.failure(*wrong, hint)
    return said
