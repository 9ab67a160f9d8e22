"""What the tools reply: a document's facts, its outline, its pages."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import BaseModel, Field

from ...answering.citations import Citation
from ...answering.strategy import Support
from ...documents.document import Document
from ...search.page_search import SearchHit

REPLY_CHARS = 60_000  # of document text or outline in one reply, so that a model's window has room for its work


class DocumentEntry(BaseModel):
    name: str
    id: str
    status: str
    page_count: int | None
    description: str
    created_at: str
    error: str | None = None


class DocumentList(BaseModel):
    documents: list[DocumentEntry]
    total: int
    next_offset: int | None


class Structure(BaseModel):
    """Nodes have title, node_id, start_index and end_index (pages), summary, nodes."""

    doc_name: str
    structure: list[dict[str, Any]]
    part: int
    total_parts: int


class Page(BaseModel):
    page: int
    text: str


class PageContent(BaseModel):
    doc_name: str
    total_pages: int
    content: list[Page]
    left_out: list[int] = Field(description="Pages that did not fit; ask for them in another call.")


class SearchHits(BaseModel):
    hits: list[SearchHit]


class Asked(BaseModel):
    answer: str
    support: Support
    citations: list[Citation]


def entry(document: Document) -> DocumentEntry:
    # PageIndex's own word for a document that is ready.
    status = "completed" if document.status == "ready" else document.status
    return DocumentEntry(
        name=document.name,
        id=document.id,
        status=status,
        page_count=document.pages,
        description=document.description,
        created_at=document.created_at,
        error=(document.error or {}).get("message"),
    )


def outline(node: dict[str, Any]) -> dict[str, Any]:
    """A node without its text."""
    kept = {key: node[key] for key in ("title", "node_id", "start_index", "end_index", "summary") if key in node}
    nodes = [outline(child) for child in node.get("nodes") or []]
    return {**kept, "nodes": nodes} if nodes else kept


def in_parts(nodes: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Nodes in groups that fit a reply; one too large for that is followed by its children."""
    part: list[dict[str, Any]] = []
    room = REPLY_CHARS
    for node in nodes:
        size = len(json.dumps(node, ensure_ascii=False))
        if part and size > room:
            yield part
            part, room = [], REPLY_CHARS
        if size > REPLY_CHARS and node.get("nodes"):
            yield [{key: value for key, value in node.items() if key != "nodes"}]
            yield from in_parts(node["nodes"])
            continue
        part.append(node)
        room -= size
    if part:
        yield part
