"""From an upload to a document that can be asked: checked, indexed in a worker, stored whole or not at all."""

import asyncio
import hashlib
import logging
import multiprocessing
import time
import uuid
from collections.abc import AsyncIterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

from . import jobs
from .errors import AppError, model_unavailable, upload_too_large
from .jobs import Connection, Failure, Job
from .library import Document, Kind, Library
from .model import ModelClient
from .settings import Settings

log = logging.getLogger(__name__)

_TEXT_SUFFIXES = (".md", ".markdown", ".txt")


def refusal(failure: Failure, settings: Settings) -> AppError:
    """What the user is told when a file cannot become a document."""
    known = {
        "encrypted": (
            "The PDF is protected by a password.",
            "Save it without a password and upload it again.",
        ),
        "empty": ("The document is empty: it has no page with content.", "Upload a document that contains text."),
        "scanned": (
            "The PDF has no text, only pictures of pages: it is probably a scan.",
            "Run text recognition (OCR) on it first, for example with ocrmypdf.",
        ),
        "damaged": ("The file is damaged and cannot be read.", "Export or download it anew and upload it again."),
        "too_many_pages": (
            f"The document has {failure.detail} pages; at most {settings.max_pages} are allowed.",
            "Split it, or let the operator raise MAX_PAGES.",
        ),
        "timeout": (
            f"Indexing took longer than {settings.index_timeout_s} s and was ended.",
            "Split the document, or let the operator raise INDEX_TIMEOUT_S.",
        ),
        "crashed": ("The document could not be read: the reader crashed on it.", "Export it anew and upload it again."),
    }
    if failure.code == "model_unavailable":
        return model_unavailable(failure.detail)
    if failure.code == "storage_full":
        return AppError(507, "storage_full", "There is no space left for documents.", "Delete some, or add disk space.")
    message, hint = known[failure.code]
    return AppError(413 if failure.code == "too_many_pages" else 422, failure.code, message, hint)


@dataclass(frozen=True)
class Upload:
    """A file that has arrived whole and looks like something we read."""

    path: Path
    name: str
    kind: Kind
    size_bytes: int
    sha256: str

    @property
    def document_id(self) -> str:
        return f"doc-{self.sha256[:16]}"


class Indexer:
    """Adds documents to the library. Start it, add, stop it."""

    def __init__(self, settings: Settings, library: Library, model: ModelClient) -> None:
        self._settings = settings
        self._library = library
        self._model = model
        self._running: dict[str, asyncio.Task[Document]] = {}
        self._pool: ProcessPoolExecutor | None = None

    def start(self) -> None:
        """Workers start in the background, so that the first upload finds the imports done."""
        self._new_pool().submit(jobs.ready)

    def stop(self) -> None:
        if self._pool is not None:
            self._kill_pool()

    async def receive(self, name: str, chunks: AsyncIterator[bytes]) -> Upload:
        """Write an upload to disk while counting, hashing and recognising it."""
        limit = self._settings.max_upload_bytes
        path = self._library.incoming / uuid.uuid4().hex
        digest, size, head = hashlib.sha256(), 0, b""
        try:
            with path.open("wb") as file:
                async for chunk in chunks:
                    size += len(chunk)
                    if size > limit:
                        raise upload_too_large(self._settings.max_upload_mib)
                    head = head or chunk[:1024]
                    digest.update(chunk)
                    await asyncio.to_thread(file.write, chunk)
            kind = await asyncio.to_thread(_recognise, name, path, head, size)
        except BaseException as error:
            path.unlink(missing_ok=True)
            if isinstance(error, OSError):
                raise refusal(Failure("storage_full"), self._settings) from error
            raise
        return Upload(path, name, kind, size, digest.hexdigest())

    async def add(self, upload: Upload) -> tuple[Document, bool]:
        """The document, and whether it is new; uploads of the same bytes share one indexing run."""
        known = self._library.find(upload.document_id)
        if known is not None:
            upload.path.unlink(missing_ok=True)
            return known, False
        task = self._running.get(upload.document_id)
        first = task is None
        if task is None:
            # A task of its own: it goes on when the client who asked for it has left.
            task = asyncio.create_task(self._index(upload))
            self._running[upload.document_id] = task
            task.add_done_callback(lambda _: self._running.pop(upload.document_id, None))
        else:
            upload.path.unlink(missing_ok=True)
        return await asyncio.shield(task), first

    async def _index(self, upload: Upload) -> Document:
        started = time.monotonic()
        name = self._library.reserve_name(upload.name, _suffix(upload))
        try:
            # Asked first: PageIndex itself would try for minutes before it gives up.
            if reason := await self._model.unavailable():
                raise model_unavailable(reason)
            original = self._library.keep_original(upload.path, upload.document_id, name)
            failure = await self._run(self._job(upload, original))
            if failure is not None:
                raise refusal(failure, self._settings)
            await asyncio.to_thread(self._library.refresh)
            document = self._library.get(upload.document_id)
        except BaseException:
            upload.path.unlink(missing_ok=True)
            if self._library.find(upload.document_id) is None:
                self._library.drop_original(upload.document_id)
            raise
        finally:
            self._library.release_name(name)
        log.info(
            "indexed",
            extra={
                "document": document.id,
                "pages": document.pages,
                "duration_ms": round((time.monotonic() - started) * 1000),
            },
        )
        return document

    def _job(self, upload: Upload, original: Path) -> Job:
        settings = self._settings
        return Job(
            file=original,
            kind=upload.kind,
            metadata={
                "id": upload.document_id,
                "kind": upload.kind,
                "size_bytes": upload.size_bytes,
                "sha256": upload.sha256,
            },
            storage=self._library.pageindex_dir,
            scratch=self._library.incoming,
            max_pages=settings.max_pages,
            connection=Connection(
                base_url=settings.vllm_base_url,
                model=settings.vllm_model,
                api_key=settings.api_key(),
                timeout_s=settings.model_timeout_s,
                summary_concurrency=settings.summary_concurrency,
                summary_max_words=settings.summary_max_words,
                optimize=settings.optimize,
            ),
        )

    async def _run(self, job: Job) -> Failure | None:
        pool = self._pool or self._new_pool()
        try:
            future = asyncio.wrap_future(pool.submit(jobs.run, job))
            return await asyncio.wait_for(future, self._settings.index_timeout_s)
        except TimeoutError:
            # A worker that hangs in native code cannot be asked to stop.
            self._kill_pool()
            return Failure("timeout")
        except BrokenProcessPool:
            self._kill_pool()
            return Failure("crashed")

    def _new_pool(self) -> ProcessPoolExecutor:
        self._pool = ProcessPoolExecutor(
            max_workers=self._settings.index_workers,
            # Forking a process that has threads may deadlock; PageIndex spawns its own helpers too.
            mp_context=multiprocessing.get_context("spawn"),
            initializer=jobs.prepare,
        )
        return self._pool

    def _kill_pool(self) -> None:
        pool, self._pool = self._pool, None
        if pool is None:
            return
        workers = list((pool._processes or {}).values())  # no public way before Python 3.14
        pool.shutdown(wait=False, cancel_futures=True)
        for worker in workers:
            worker.kill()


def _suffix(upload: Upload) -> str:
    if upload.kind == "pdf":
        return ".pdf"
    suffix = Path(upload.name.lower()).suffix
    return suffix if suffix in _TEXT_SUFFIXES else ".md"


def _recognise(name: str, path: Path, head: bytes, size: int) -> Kind:
    """PDF by its first bytes, text by its name and by being text; the client's own claim is not asked."""
    if size == 0:
        raise AppError(422, "empty", "The file is empty.", "Upload a PDF or a Markdown file that contains text.")
    if head.startswith(b"%PDF-"):
        return "pdf"
    if name.lower().endswith(_TEXT_SUFFIXES):
        try:
            text = path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError:
            text = "\0"
        if "\0" not in text:
            if not text.strip():
                raise AppError(422, "empty", "The file is empty.", "Upload a file that contains text.")
            return "markdown"
        raise AppError(
            415, "not_text", "The file is named like a text but is not UTF-8 text.", "Save it as UTF-8, or as a PDF."
        )
    if name.lower().endswith(".pdf"):
        raise AppError(415, "not_a_pdf", "The file is named like a PDF but is not one.", "Export it as a PDF anew.")
    raise AppError(
        415, "unsupported_type", "Only PDF and Markdown files are read.", "Convert the document to PDF and upload that."
    )
