"""Does the stack answer from a document, with the page? Uploads a sample, asks, and leaves no trace of it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import yaml

from checks.http_client import Asker

SAMPLES = Path(__file__).resolve().parents[1] / "samples"


def documents(facts: dict[str, Any]) -> dict[str, Any]:
    """Upload the first sample, ask its first question, compare the words and the page of the answer."""
    app = Asker(facts, facts["app_url"])
    app.request("GET", "/ready")
    sample = yaml.safe_load((SAMPLES / "questions.yaml").read_text(encoding="utf-8"))["documents"][0]
    expected = sample["questions"][0]
    path = SAMPLES / sample["file"]
    known = {document["id"] for document in app.request("GET", "/api/documents").json()["documents"]}
    started = time.monotonic()
    document = upload(app, path)
    try:
        answer = app.request(
            "POST", "/api/ask", json={"question": expected["question"], "document_ids": [document["id"]]}
        ).json()
    finally:
        if document["id"] not in known:
            app.request("DELETE", f"/api/documents/{document['id']}", 204)
    pages = sorted({page for citation in answer["citations"] for page in citation["pages"]})
    if not holds(answer["answer"], expected["words"]) or not set(pages) & set(expected["pages"]):
        raise app.failure(
            f"an answer to {expected['question']!r} with {expected['words']}, resting on page {expected['pages']}",
            f"{answer['answer']!r}, resting on pages {pages}",
        )
    return {
        "check": "documents",
        "ok": True,
        "question": expected["question"],
        "answer": answer["answer"],
        "pages": pages,
        "seconds": round(time.monotonic() - started, 2),
    }


def upload(app: Asker, path: Path) -> dict[str, Any]:
    """Upload a file; the app answers with the same document if it has it already."""
    kind = "application/pdf" if path.suffix == ".pdf" else "text/markdown"
    with path.open("rb") as file:
        answer = app.request("POST", "/api/documents", 201, 200, files={"file": (path.name, file, kind)})
    uploaded: dict[str, Any] = answer.json()
    return uploaded


def holds(text: str, words: list[str | list[str]]) -> bool:
    """Whether every word occurs in the text; a list stands for alternatives."""
    lowered = text.lower()
    return all(
        any(choice.lower() in lowered for choice in (word if isinstance(word, list) else [word])) for word in words
    )
