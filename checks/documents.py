"""Does the stack answer from a document, with the page? Uploads a sample, asks, and leaves no trace of it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from checks.asking import Asker
from checks.facts import DocumentsFacts

INDEXED_WITHIN_S = 600.0
POLL_S = 0.5
# Two pages, one of which is long enough that the model is asked for a summary: seconds even on a CPU. samples/ has the
# documents that measure how well a stack answers.
SAMPLE = Path(__file__).with_name("sample.pdf")
QUESTION, WORD, PAGE = "How deep is the approach channel at lowest tide?", "11.8", 2


def documents(facts: DocumentsFacts) -> dict[str, Any]:
    """Index the sample, ask the question, compare the figure and the page of the answer."""
    app = Asker(facts, facts["app_url"])
    app.request("GET", "/ready")
    known = {document["id"] for document in app.request("GET", "/api/documents").json()["documents"]}
    started = time.monotonic()
    document = upload(app, SAMPLE)
    try:
        indexed(app, document)
        answer = app.request("POST", "/api/ask", json={"question": QUESTION, "document_ids": [document["id"]]}).json()
    finally:
        if document["id"] not in known:
            app.request("DELETE", f"/api/documents/{document['id']}", 204)
    pages = sorted({page for citation in answer["citations"] for page in citation["pages"]})
    if WORD not in answer["answer"] or PAGE not in pages:
        raise app.failure(
            f"an answer to {QUESTION!r} with {WORD}, resting on page {PAGE}",
            f"{answer['answer']!r}, resting on pages {pages}",
        )
    return {
        "check": "documents",
        "ok": True,
        "question": QUESTION,
        "answer": answer["answer"],
        "pages": pages,
        "seconds": round(time.monotonic() - started, 2),
    }


def upload(app: Asker, path: Path) -> dict[str, Any]:
    """Upload a file; the app queues it, or answers with the same document if it has it already."""
    kind = "application/pdf" if path.suffix == ".pdf" else "text/markdown"
    with path.open("rb") as file:
        answer = app.request("POST", "/api/documents", 202, 200, files={"file": (path.name, file, kind)})
    uploaded: dict[str, Any] = answer.json()
    return uploaded


def indexed(app: Asker, document: dict[str, Any], within_s: float = INDEXED_WITHIN_S) -> dict[str, Any]:
    """Wait until the document can be asked."""
    deadline = time.monotonic() + within_s
    while document["status"] != "ready":
        if document["status"] == "failed" or time.monotonic() > deadline:
            error = document["error"] or {"message": f"its status is {document['status']}", "hint": ""}
            raise app.failure(f"{document['name']!r} indexed within {within_s:.0f} s", error["message"], error["hint"])
        time.sleep(POLL_S)
        document = app.request("GET", f"/api/documents/{document['id']}").json()
    return document
