"""Uploads to a running stack are answered before they are indexed: helpers that wait for the end of it."""

from __future__ import annotations

import time
from typing import Any

import httpx

INDEXED_WITHIN_S = 600.0  # two cores that other tests use as well


def settled(client: httpx.Client, document_id: str) -> dict[str, Any]:
    """The document once it is ready or failed."""
    deadline = time.monotonic() + INDEXED_WITHIN_S
    while True:
        document: dict[str, Any] = client.get(f"/api/documents/{document_id}").raise_for_status().json()
        if document["status"] in ("ready", "failed"):
            return document
        assert time.monotonic() < deadline, f"still {document['status']} after {INDEXED_WITHIN_S:.0f} s: {document}"
        time.sleep(0.2)  # between two looks; the deadline decides


def indexed(client: httpx.Client, name: str, content: bytes) -> dict[str, Any]:
    """Upload, and the document once it is ready or failed."""
    kind = "application/pdf" if name.endswith(".pdf") else "text/markdown"
    reply = client.post("/api/documents", files={"file": (name, content, kind)})
    assert reply.status_code in (200, 202), reply.text
    return settled(client, reply.json()["id"])
