"""Indexing jobs as files: what is queued, running or failed is known again after the process was killed.

    <data>/jobs/<document id>.json

A record is written before an upload is answered, and removed once the document is stored.
"""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ValidationError

from ..base.failures import Failure
from ..base.files import write_atomically
from .document import Kind

State = Literal["queued", "indexing", "failed"]


class JobRecord(BaseModel):
    """One document on its way into the library, or back into it."""

    id: str
    name: str
    kind: Kind
    size_bytes: int
    sha256: str
    created_at: str
    state: State = "queued"
    starts: int = 0  # begun and not ended; bounded, because one file may take the whole container down
    retries: int = 0  # how often it was queued again because the model broke off
    replaces: str | None = None  # the PageIndex record that a re-indexing will replace
    failure: Failure | None = None
    request_id: str = ""


class JobRecords:
    """The folder of records. Writes are atomic and on disk when they return."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self) -> list[JobRecord]:
        """All records, oldest first; a file that is no record is removed."""
        self._folder.mkdir(parents=True, exist_ok=True)
        records = []
        for path in self._folder.iterdir():
            try:
                records.append(JobRecord.model_validate_json(path.read_bytes()))
            except (ValidationError, OSError):
                path.unlink(missing_ok=True)
        return sorted(records, key=lambda record: (record.created_at, record.id))

    def save(self, record: JobRecord) -> None:
        write_atomically(self._folder / f"{record.id}.json", record.model_dump_json().encode())

    def remove(self, document_id: str) -> None:
        (self._folder / f"{document_id}.json").unlink(missing_ok=True)
