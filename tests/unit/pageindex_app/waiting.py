"""Uploads are answered before they are indexed: helpers that wait for the end of it."""

import time
from collections.abc import Callable
from typing import Any

from fastapi.testclient import TestClient

DEADLINE_S = 300.0  # two cores that other tests use as well


def until(what: str, check: Callable[[], Any], within_s: float = DEADLINE_S) -> Any:
    """What the check returns once it is true."""
    deadline = time.monotonic() + within_s
    while not (found := check()):
        assert time.monotonic() < deadline, f"not {what} within {within_s:.0f} s"
        time.sleep(0.02)  # between two looks; the deadline decides
    return found


def settled(client: TestClient, document_id: str) -> dict[str, Any]:
    """The document once it is ready or failed."""

    def look() -> dict[str, Any] | None:
        document: dict[str, Any] = client.get(f"/api/documents/{document_id}").json()
        return document if document["status"] in ("ready", "failed") else None

    return dict(until("settled", look))


def indexed(client: TestClient, name: str, content: bytes) -> dict[str, Any]:
    """Upload, and the document once it is ready or failed."""
    reply = client.post("/api/documents", files={"file": (name, content)})
    assert reply.status_code in (200, 202), reply.text
    return settled(client, reply.json()["id"])
