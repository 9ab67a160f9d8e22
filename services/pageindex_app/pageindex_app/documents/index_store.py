"""PageIndex's own store on disk: what is in it is ready to be asked.

<data>/pageindex/docs/<pageindex id>/   tree, pages and doc.json, which PageIndex writes last
"""

import shutil
from collections import OrderedDict
from collections.abc import Container
from pathlib import Path
from typing import Any

from pageindex.local_store import DocStore

from ..base.errors import AppError
from ..search.document_index import DocumentIndex
from .document import Document, from_pageindex

_INDEXES_KEPT = 256  # documents whose pages and postings stay in memory, about 1 MiB per 300 pages


class IndexStore:
    """Reads what the index workers have stored, and removes it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._store = DocStore(str(folder))
        self._indexes: OrderedDict[str, DocumentIndex] = OrderedDict()

    def open(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)

    def documents(self) -> dict[str, Document]:
        """Every document by its id, read from disk; of two records of one document the newer counts."""
        known = [from_pageindex(meta) for meta in self._store.list_metas()]
        oldest_first = sorted((document for document in known if document), key=lambda document: document.indexed_at)
        return {document.id: document for document in oldest_first}

    def tree(self, document: Document) -> list[dict[str, Any]]:
        tree = self._store.get_tree(document.pageindex_id) if document.pageindex_id else []
        if tree is None:
            raise _unreadable(document)
        return tree

    def index(self, document: Document) -> DocumentIndex:
        """The document's pages, sections and postings; the ones used last stay in memory."""
        key = document.pageindex_id or ""
        index = self._indexes.pop(key, None)
        if index is None:
            pages = self._store.get_pages(key)
            if pages is None:
                raise _unreadable(document)
            texts = [page["markdown"] for page in pages]
            index = DocumentIndex(document.id, document.name, texts, self.tree(document))
        self._indexes[key] = index
        while len(self._indexes) > _INDEXES_KEPT:
            self._indexes.popitem(last=False)
        return index

    def take_name(self, document: Document) -> None:
        """PageIndex calls a second index of a document "name_1"; its agent must know it by the name it has here."""
        key = document.pageindex_id or ""
        meta, pages = self._store.get_meta(key), self._store.get_pages(key)
        if meta and pages is not None and meta["name"] != document.name:
            self._store.save_document(key, {**meta, "name": document.name}, self.tree(document), pages)

    def drop(self, document_id: str, but: str | None = None) -> None:
        """Remove what PageIndex has stored of a document, also what an ended worker left; the record ``but`` stays."""
        for meta in self._store.list_metas():
            if (meta.get("metadata") or {}).get("id") == document_id and meta["id"] != but:
                self._store.delete_document(meta["id"])
                self._indexes.pop(meta["id"], None)

    def sweep(self, known: Container[str | None]) -> None:
        """Remove the folders of records that are not known."""
        docs = self.folder / "docs"
        for path in docs.iterdir() if docs.is_dir() else ():
            if path.name not in known:
                self._store.delete_document(path.name)
                shutil.rmtree(path, ignore_errors=True)


def _unreadable(document: Document) -> AppError:
    return AppError(
        500, "document_unreadable", f"The stored index of {document.name!r} is damaged.", "Re-index or delete it."
    )
