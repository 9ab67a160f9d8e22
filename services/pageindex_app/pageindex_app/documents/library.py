"""All documents of a data directory: those that are ready, and those on their way.

    <data>/pageindex/   what is ready: PageIndex's own store, see index_store.py
    <data>/originals/   the files as they were uploaded, see originals.py
    <data>/jobs/        what is queued, being indexed, or failed, see job_records.py
    <data>/incoming/    uploads that are still arriving

A document is ready once PageIndex has written doc.json. A crash leaves jobs, which start again, and half-written
folders, which are swept away at the next start.
"""

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..base.errors import AppError, document_not_found
from ..base.failures import Failure, refusal
from ..base.settings import Settings
from ..search.document_index import DocumentIndex
from ..workers.protocol import Report
from .document import Document, Status
from .document_events import DocumentEvents
from .index_store import IndexStore
from .job_records import JobRecord, JobRecords
from .originals import Originals, free_name


class Library:
    """All documents of one data directory. One process owns it; its index workers only add."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.pageindex_dir = settings.data_dir / "pageindex"
        self.incoming = settings.data_dir / "incoming"
        self.events = DocumentEvents()
        self._store = IndexStore(self.pageindex_dir)
        self._originals = Originals(settings.data_dir / "originals")
        self._records = JobRecords(settings.data_dir / "jobs")
        self._ready: dict[str, Document] = {}
        self._jobs: dict[str, JobRecord] = {}
        self._progress: dict[str, Report] = {}
        self._waiting_for: Failure | None = None

    def open(self) -> None:
        """Create the folders, read what is there, sweep away what a crash left."""
        self._store.open()
        self._originals.open()
        self.incoming.mkdir(parents=True, exist_ok=True)
        self._jobs = {record.id: record for record in self._records.load()}
        self._ready = self._store.documents()
        for record in list(self._jobs.values()):
            ready = self._ready.get(record.id)
            stored = ready is not None and ready.pageindex_id != record.replaces  # just before the crash
            if stored or self._originals.find(record.id, record.name) is None:
                self._forget_job(record.id)
        self._sweep()

    def _sweep(self) -> None:
        """Remove leftovers; only while nothing is being added."""
        for path in self.incoming.iterdir():
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
        self._originals.sweep({*self._ready, *self._jobs})
        self._store.sweep({document.pageindex_id for document in self._ready.values()})

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
        # When indexing anew fails, the old index stays and still answers.
        status: Status = "ready" if ready and job.state == "failed" else job.state
        progress = self._progress.get(document_id) or (Report(stage="waiting") if status == "queued" else None)
        return replace(document, status=status, progress=progress, error=error)

    def tree(self, document: Document) -> list[dict[str, Any]]:
        """PageIndex's tree of the document; empty until it has been indexed once."""
        return self._store.tree(document)

    def index(self, document: Document) -> DocumentIndex:
        """The document's pages, sections and postings. Blocking: reads from disk what is not in memory."""
        return self._store.index(document)

    def original(self, document: Document) -> Path:
        """The file as it was uploaded."""
        found = self._originals.find(document.id, document.name)
        if found is None:
            raise AppError(404, "no_original", f"The uploaded file of {document.name!r} is not kept any more.")
        return found

    def writable(self) -> str | None:
        """Why nothing can be stored, or None."""
        try:
            with tempfile.TemporaryFile(dir=self.incoming) as probe:
                probe.write(b"ready?")
                probe.flush()
        except OSError as error:
            return f"cannot write to the data directory: {error.strerror}"
        return None

    # What comes and goes.

    def free_name(self, wanted: str, suffix: str) -> str:
        """A name that no document has yet, made from the wanted one."""
        return free_name(wanted, suffix, {document.name for document in self.all()})

    def keep_original(self, incoming: Path, document_id: str, name: str) -> None:
        self._originals.keep(incoming, document_id, name)

    def drop_original(self, document_id: str) -> None:
        self._originals.drop(document_id)

    def delete(self, document_id: str) -> None:
        """The job goes first: a crash in between must not bring the document back."""
        self.get(document_id)
        self._forget_job(document_id)
        self.drop_indexes(document_id)
        self._ready.pop(document_id, None)
        self._originals.drop(document_id)
        self.events.removed(document_id)

    def jobs(self, state: str) -> list[JobRecord]:
        """Oldest first."""
        found = [record for record in self._jobs.values() if record.state == state]
        return sorted(found, key=lambda record: (record.created_at, record.id))

    def save_job(self, record: JobRecord, progress: Report | None = None) -> None:
        """Remember the job's state on disk, and publish it."""
        self._records.save(record)
        self._jobs[record.id] = record
        self.set_progress(record.id, progress)

    def set_progress(self, document_id: str, progress: Report | None) -> None:
        if progress is None:
            self._progress.pop(document_id, None)
        else:
            self._progress[document_id] = progress
        if document := self.find(document_id):
            self.events.changed(document.public())

    def wait_for(self, failure: Failure | None) -> None:
        """Why nothing that is queued can begin; every queued document says so."""
        if failure == self._waiting_for:
            return
        self._waiting_for = failure
        for record in self.jobs("queued"):
            self.set_progress(record.id, self._progress.get(record.id))

    def finish_job(self, document_id: str) -> Document:
        """The worker has stored the document: drop the job, and the index that the new one replaces."""
        self._ready = self._store.documents()
        stored = self._ready[document_id]
        self.drop_indexes(document_id, but=stored.pageindex_id)
        self._store.take_name(stored)
        self._forget_job(document_id)
        document = self.get(document_id)
        self.events.changed(document.public())
        return document

    def drop_indexes(self, document_id: str, but: str | None = None) -> None:
        """Remove what PageIndex has stored of a document, also what an ended worker left; the record ``but`` stays."""
        self._store.drop(document_id, but)

    def _forget_job(self, document_id: str) -> None:
        self._records.remove(document_id)
        self._jobs.pop(document_id, None)
        self._progress.pop(document_id, None)
