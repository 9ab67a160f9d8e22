"""The documents on disk: PageIndex's own store is the only record, originals lie beside it.

    <data>/pageindex/docs/<pageindex id>/   tree, pages and doc.json, which PageIndex writes last
    <data>/originals/<document id>/<name>   the file as it was uploaded
    <data>/incoming/                        uploads that are still arriving

A document exists once PageIndex has written doc.json; whatever a crash leaves before that is swept
away at the next start.
"""

import shutil
import tempfile
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pageindex.local_store import DocStore
from pageindex.naming import sanitize_filename, truncate_filename

from .errors import AppError, document_not_found
from .search import DocumentIndex

_INDEXES_KEPT = 256  # documents whose pages and postings stay in memory, about 1 MiB per 300 pages

Kind = Literal["pdf", "markdown"]


@dataclass(frozen=True)
class Document:
    """What is known of a document without opening it."""

    id: str  # from the content: the same bytes are the same document
    name: str
    kind: Kind
    pages: int
    size_bytes: int
    created_at: str
    description: str
    pageindex_id: str

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
        }


def _document(meta: dict[str, Any]) -> Document | None:
    ours = meta.get("metadata") or {}
    if "id" not in ours:
        return None
    return Document(
        id=ours["id"],
        name=meta["name"],
        kind=ours["kind"],
        pages=meta["pageNum"],
        size_bytes=ours["size_bytes"],
        created_at=f"{datetime.fromisoformat(meta['createdAt']).isoformat(timespec='milliseconds')}Z",
        description=(meta.get("description") or "").strip(),
        pageindex_id=meta["id"],
    )


class Library:
    """All documents of one data directory. One process owns it; its index workers only add."""

    def __init__(self, data_dir: Path) -> None:
        self.pageindex_dir = data_dir / "pageindex"
        self.incoming = data_dir / "incoming"
        self.originals = data_dir / "originals"
        self._store = DocStore(str(self.pageindex_dir))
        self._documents: dict[str, Document] = {}
        self._indexes: OrderedDict[str, DocumentIndex] = OrderedDict()
        self._reserved: set[str] = set()

    def open(self) -> None:
        """Create the folders, read what is there, sweep away what a crash left."""
        for folder in (self.pageindex_dir, self.originals, self.incoming):
            folder.mkdir(parents=True, exist_ok=True)
        self.refresh()
        self.sweep()

    def refresh(self) -> None:
        """Read PageIndex's records again."""
        known = [_document(meta) for meta in self._store.list_metas()]
        self._documents = {document.id: document for document in known if document}

    def sweep(self) -> None:
        """Remove leftovers; only while nothing is being added."""
        for path in self.incoming.iterdir():
            path.unlink(missing_ok=True)
        for path in self.originals.iterdir():
            if path.name not in self._documents:
                shutil.rmtree(path, ignore_errors=True)
        docs = self.pageindex_dir / "docs"
        known = {document.pageindex_id for document in self._documents.values()}
        for path in docs.iterdir() if docs.is_dir() else ():
            if path.name not in known:
                shutil.rmtree(path, ignore_errors=True)

    def all(self) -> list[Document]:
        """Newest first."""
        return sorted(self._documents.values(), key=lambda document: (document.created_at, document.id), reverse=True)

    def find(self, document_id: str) -> Document | None:
        return self._documents.get(document_id)

    def get(self, document_id: str) -> Document:
        document = self._documents.get(document_id)
        if document is None:
            raise document_not_found(document_id)
        return document

    def named(self, name: str) -> Document | None:
        return next((document for document in self._documents.values() if document.name == name), None)

    def tree(self, document: Document) -> list[dict[str, Any]]:
        tree = self._store.get_tree(document.pageindex_id)
        if tree is None:
            raise _unreadable(document)
        return tree

    def index(self, document: Document) -> DocumentIndex:
        """The document's pages, sections and postings; the ones used last stay in memory."""
        index = self._indexes.pop(document.id, None)
        if index is None:
            pages = self._store.get_pages(document.pageindex_id)
            if pages is None:
                raise _unreadable(document)
            texts = [page["markdown"] for page in pages]
            index = DocumentIndex(document.id, document.name, texts, self.tree(document))
        self._indexes[document.id] = index
        while len(self._indexes) > _INDEXES_KEPT:
            self._indexes.popitem(last=False)
        return index

    def reserve_name(self, wanted: str, suffix: str) -> str:
        """A name of our own making: no path, no odd characters, not taken; hold it until `release_name`."""
        base = sanitize_filename(wanted.replace("\\", "/").rsplit("/", 1)[-1].lstrip(".") or "document")
        if not base.lower().endswith(suffix):
            base = truncate_filename(f"{base}{suffix}")
        taken = {document.name for document in self._documents.values()} | self._reserved
        name, number = base, 0
        while name in taken:
            number += 1
            name = truncate_filename(base, suffix=f"_{number}")
        self._reserved.add(name)
        return name

    def release_name(self, name: str) -> None:
        self._reserved.discard(name)

    def keep_original(self, incoming: Path, document_id: str, name: str) -> Path:
        folder = self.originals / document_id
        folder.mkdir(exist_ok=True)
        return incoming.replace(folder / name)

    def drop_original(self, document_id: str) -> None:
        shutil.rmtree(self.originals / document_id, ignore_errors=True)

    def delete(self, document_id: str) -> None:
        document = self.get(document_id)
        self._store.delete_document(document.pageindex_id)
        self.drop_original(document_id)
        self._documents.pop(document_id, None)
        self._indexes.pop(document_id, None)

    def writable(self) -> str | None:
        """Why nothing can be stored, or None."""
        try:
            with tempfile.TemporaryFile(dir=self.incoming) as probe:
                probe.write(b"ready?")
                probe.flush()
        except OSError as error:
            return f"cannot write to the data directory: {error.strerror}"
        return None


def walk(tree: list[dict[str, Any]], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """(titles from the root, node) of every node in reading order."""
    for node in tree:
        here = (*path, node.get("title") or "")
        yield here, node
        yield from walk(node.get("nodes") or [], here)


def _unreadable(document: Document) -> AppError:
    return AppError(
        500, "document_unreadable", f"The stored index of {document.name!r} is damaged.", "Delete and upload it again."
    )
