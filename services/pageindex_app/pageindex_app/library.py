"""The documents on disk: PageIndex's own store is the record of what is ready, originals lie beside it.

    <data>/pageindex/docs/<pageindex id>/   tree, pages and doc.json, which PageIndex writes last
    <data>/originals/<document id>/<name>   the file as it was uploaded
    <data>/jobs/<document id>.json          what is queued, being indexed, or failed
    <data>/incoming/                        uploads that are still arriving

A document is ready once PageIndex has written doc.json. A crash leaves jobs, which start again, and
half-written folders, which are swept away at the next start.
"""

import shutil
import tempfile
from collections import OrderedDict
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pageindex.local_store import DocStore
from pageindex.naming import sanitize_filename, truncate_filename

from .changes import Changes
from .errors import AppError, document_not_found
from .failures import Failure, refusal
from .job_records import JobRecord, JobRecords, Kind, sync_folder
from .jobs import Report
from .search import DocumentIndex
from .settings import Settings

_INDEXES_KEPT = 256  # documents whose pages and postings stay in memory, about 1 MiB per 300 pages

Status = Literal["queued", "indexing", "ready", "failed"]


@dataclass(frozen=True)
class Document:
    """What is known of a document without opening it."""

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
        """Whether it can be asked; one that is indexed anew still can."""
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


def _stored(meta: dict[str, Any]) -> Document | None:
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


class Library:
    """All documents of one data directory. One process owns it; its index workers only add."""

    def __init__(self, settings: Settings) -> None:
        data_dir = settings.data_dir
        self._settings = settings
        self.pageindex_dir = data_dir / "pageindex"
        self.incoming = data_dir / "incoming"
        self.originals = data_dir / "originals"
        self.changes = Changes()
        self._store = DocStore(str(self.pageindex_dir))
        self._records = JobRecords(data_dir / "jobs")
        self._ready: dict[str, Document] = {}
        self._jobs: dict[str, JobRecord] = {}
        self._progress: dict[str, Report] = {}
        self._waiting_for: Failure | None = None
        self._indexes: OrderedDict[str, DocumentIndex] = OrderedDict()

    def open(self) -> None:
        """Create the folders, read what is there, sweep away what a crash left."""
        for folder in (self.pageindex_dir, self.originals, self.incoming):
            folder.mkdir(parents=True, exist_ok=True)
        self._jobs = {record.id: record for record in self._records.load()}
        self.refresh()
        for record in list(self._jobs.values()):
            ready = self._ready.get(record.id)
            if (ready is not None and ready.pageindex_id != record.replaces) or self._find_original(record) is None:
                self._forget_job(record.id)  # stored just before the crash, or nothing is left of it
        self.sweep()

    def refresh(self) -> None:
        """Read PageIndex's records again; of two for one document the newer counts."""
        known = [_stored(meta) for meta in self._store.list_metas()]
        newest = sorted((document for document in known if document), key=lambda document: document.indexed_at)
        self._ready = {document.id: document for document in newest}

    def sweep(self) -> None:
        """Remove leftovers; only while nothing is being added."""
        for path in self.incoming.iterdir():
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
        for path in self.originals.iterdir():
            if path.name not in self._ready and path.name not in self._jobs:
                shutil.rmtree(path, ignore_errors=True)
        docs = self.pageindex_dir / "docs"
        known = {document.pageindex_id for document in self._ready.values()}
        for path in docs.iterdir() if docs.is_dir() else ():
            if path.name not in known:
                self._store.delete_document(path.name)
                shutil.rmtree(path, ignore_errors=True)

    # What is there.

    def all(self) -> list[Document]:
        """Newest first."""
        found = [self._merged(document_id) for document_id in {**self._ready, **self._jobs}]
        return sorted(found, key=lambda document: (document.created_at, document.id), reverse=True)

    def ready(self) -> list[Document]:
        """Those that can be asked, newest first."""
        return [document for document in self.all() if document.readable]

    def find(self, document_id: str) -> Document | None:
        return self._merged(document_id) if document_id in self._ready or document_id in self._jobs else None

    def get(self, document_id: str) -> Document:
        document = self.find(document_id)
        if document is None:
            raise document_not_found(document_id)
        return document

    def named(self, name: str) -> Document | None:
        return next((document for document in self.all() if document.name == name), None)

    def _merged(self, document_id: str) -> Document:
        """What is stored, and on top of it what its job says."""
        ready, job = self._ready.get(document_id), self._jobs.get(document_id)
        if job is None:
            return self._ready[document_id]
        failure = job.failure or (self._waiting_for if job.state == "queued" else None)
        error = refusal(failure, self._settings).body()["error"] if failure else None
        document = ready or Document(
            id=job.id,
            name=job.name,
            kind=job.kind,
            pages=None,
            size_bytes=job.size_bytes,
            created_at=job.created_at,
            sha256=job.sha256,
        )
        # An index that could not be made anew leaves the old one, which still answers.
        status: Status = "ready" if ready and job.state == "failed" else job.state
        progress = self._progress.get(document_id) or (Report(stage="waiting") if status == "queued" else None)
        return replace(document, status=status, progress=progress, error=error)

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

    def original(self, document: Document) -> Path:
        """The file as it was uploaded."""
        found = self._find_original(document)
        if found is None:
            raise AppError(404, "no_original", f"The uploaded file of {document.name!r} is not kept any more.")
        return found

    def _find_original(self, document: Document | JobRecord) -> Path | None:
        path = self.originals / document.id / document.name
        return path if path.is_file() else None

    # What is on its way.

    def jobs(self, state: str) -> list[JobRecord]:
        """Oldest first."""
        found = [record for record in self._jobs.values() if record.state == state]
        return sorted(found, key=lambda record: (record.created_at, record.id))

    def job(self, document_id: str) -> JobRecord | None:
        return self._jobs.get(document_id)

    def save_job(self, record: JobRecord, progress: Report | None = None) -> None:
        """Remember the job's state, on disk and for whoever watches."""
        self._records.save(record)
        self._jobs[record.id] = record
        self.set_progress(record.id, progress)

    def set_progress(self, document_id: str, progress: Report | None) -> None:
        if progress is None:
            self._progress.pop(document_id, None)
        else:
            self._progress[document_id] = progress
        if document := self.find(document_id):
            self.changes.document(document.public())

    def wait_for(self, failure: Failure | None) -> None:
        """Why nothing that is queued can begin; told with every queued document."""
        if failure == self._waiting_for:
            return
        self._waiting_for = failure
        for record in self.jobs("queued"):
            self.set_progress(record.id, self._progress.get(record.id))

    def finish_job(self, document_id: str) -> Document:
        """The worker has stored the document: drop the job, and the index that the new one replaces."""
        self.refresh()
        self.drop_indexes(document_id, but=self._ready[document_id].pageindex_id)
        self._rename_in_store(self._ready[document_id])
        self._forget_job(document_id)
        document = self.get(document_id)
        self.changes.document(document.public())
        return document

    def _rename_in_store(self, document: Document) -> None:
        """PageIndex calls a second index of a document "name_1"; its agent must know it by the name it has here."""
        key = document.pageindex_id or ""
        meta, pages = self._store.get_meta(key), self._store.get_pages(key)
        if meta and pages is not None and meta["name"] != document.name:
            self._store.save_document(key, {**meta, "name": document.name}, self.tree(document), pages)

    def drop_indexes(self, document_id: str, but: str | None = None) -> None:
        """Remove what PageIndex has stored of a document, also what an ended worker left."""
        for meta in self._store.list_metas():
            if (meta.get("metadata") or {}).get("id") == document_id and meta["id"] != but:
                self._store.delete_document(meta["id"])
                self._indexes.pop(meta["id"], None)

    def _forget_job(self, document_id: str) -> None:
        self._records.remove(document_id)
        self._jobs.pop(document_id, None)
        self._progress.pop(document_id, None)

    # Names and files.

    def free_name(self, wanted: str, suffix: str) -> str:
        """A name of our own making: no path, no odd characters, not taken."""
        base = sanitize_filename(wanted.replace("\\", "/").rsplit("/", 1)[-1].lstrip(".") or "document")
        if not base.lower().endswith(suffix):
            base = truncate_filename(f"{base}{suffix}")
        taken = {document.name for document in self.all()}
        name, number = base, 1
        while name in taken:
            number += 1
            name = truncate_filename(base, suffix=f" ({number})")
        return name

    def keep_original(self, incoming: Path, document_id: str, name: str) -> Path:
        folder = self.originals / document_id
        folder.mkdir(exist_ok=True)
        kept = incoming.replace(folder / name)
        sync_folder(folder)
        sync_folder(self.originals)
        return kept

    def drop_original(self, document_id: str) -> None:
        shutil.rmtree(self.originals / document_id, ignore_errors=True)

    def delete(self, document_id: str) -> None:
        """The job first: a crash in between must not bring the document back."""
        self.get(document_id)
        self._forget_job(document_id)
        self.drop_indexes(document_id)
        self._ready.pop(document_id, None)
        self.drop_original(document_id)
        self.changes.removed(document_id)

    def writable(self) -> str | None:
        """Why nothing can be stored, or None."""
        try:
            with tempfile.TemporaryFile(dir=self.incoming) as probe:
                probe.write(b"ready?")
                probe.flush()
        except OSError as error:
            return f"cannot write to the data directory: {error.strerror}"
        return None


def _unreadable(document: Document) -> AppError:
    return AppError(
        500, "document_unreadable", f"The stored index of {document.name!r} is damaged.", "Re-index or delete it."
    )
