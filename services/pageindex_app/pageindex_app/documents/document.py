"""What is known of a document without opening it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from ..workers.protocol import Report

Kind = Literal["pdf", "markdown", "text"]
Status = Literal["queued", "indexing", "ready", "failed"]


@dataclass(frozen=True)
class Document:
    """One document, whether it is ready or on its way."""

    id: str  # from the content: the same bytes are the same document
    name: str
    kind: Kind
    pages: int | None
    size_bytes: int
    created_at: str
    description: str = ""
    status: Status = "ready"
    progress: Report | None = None
    error: dict[str, str] | None = None
    sha256: str = ""
    pageindex_id: str | None = None  # None until it has been indexed once
    indexed_at: str = ""

    @property
    def readable(self) -> bool:
        """Whether it can be asked; one that is being indexed anew still can."""
        return self.pageindex_id is not None

    def public(self) -> dict[str, Any]:
        """As the API shows it."""
        return {
            "id": self.id,
            "name": self.name,
            "kind": self.kind,
            "pages": self.pages,
            "size_bytes": self.size_bytes,
            "created_at": self.created_at,
            "description": self.description,
            "status": self.status,
            "progress": self.progress and self.progress.model_dump(),
            "error": self.error,
        }


def from_pageindex(meta: dict[str, Any]) -> Document | None:
    """The document of one of PageIndex's records; None where the record is not the app's."""
    ours = meta.get("metadata") or {}
    if "id" not in ours:
        return None
    indexed_at = f"{datetime.fromisoformat(meta['createdAt']).isoformat(timespec='milliseconds')}Z"
    return Document(
        id=ours["id"],
        name=ours.get("name") or meta["name"],
        kind=ours["kind"],
        pages=meta["pageNum"],
        size_bytes=ours["size_bytes"],
        created_at=ours.get("created_at") or indexed_at,
        description=(meta.get("description") or "").strip(),
        sha256=ours.get("sha256", ""),
        pageindex_id=meta["id"],
        indexed_at=indexed_at,
    )
