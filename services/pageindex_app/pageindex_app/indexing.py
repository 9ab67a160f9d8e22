"""The queue between uploads and documents: durable, a worker process each, one bad file never stops the others."""

import asyncio
import contextlib
import logging
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from datetime import UTC, datetime

from . import jobs
from .failures import Failure
from .job_records import JobRecord
from .jobs import Connection, Job
from .library import Document, Library, Progress
from .logs import request_id
from .model import ModelClient
from .settings import Settings
from .uploads import Upload

log = logging.getLogger(__name__)


class Indexer:
    """Adds documents to the library in the background. Start it, add, stop it."""

    def __init__(self, settings: Settings, library: Library, model: ModelClient) -> None:
        self._settings = settings
        self._library = library
        self._model = model
        self._some = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._running: dict[str, asyncio.Task[None]] = {}
        self._pool: ProcessPoolExecutor | None = None

    def start(self) -> None:
        """Take up what the last process left, then wait for more."""
        for record in self._library.jobs("indexing"):
            self._library.save_job(record.model_copy(update={"state": "queued"}))
        self._tasks = [asyncio.create_task(self._serve()) for _ in range(self._settings.index_workers)]
        self._some.set()

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._pool is not None:
            self._kill_pool()

    def add(self, upload: Upload) -> tuple[Document, bool]:
        """The document, and whether there is anything to do; the same bytes are one document, also while queued."""
        known = self._library.find(upload.document_id)
        if known is not None:
            upload.path.unlink(missing_ok=True)
            return (known, False) if known.status != "failed" else (self.reindex(known.id), True)
        name = self._library.free_name(upload.name, upload.suffix)
        self._library.keep_original(upload.path, upload.document_id, name)
        record = JobRecord(
            id=upload.document_id,
            name=name,
            kind=upload.kind,
            size_bytes=upload.size_bytes,
            sha256=upload.sha256,
            created_at=now(),
            request_id=request_id.get(),
        )
        self._queue(record)
        return self._library.get(record.id), True

    def reindex(self, document_id: str) -> Document:
        """Index a document anew; until that is done the old index answers."""
        document = self._library.get(document_id)
        if document.status in ("queued", "indexing"):
            return document
        self._library.original(document)
        known = self._library.job(document_id)
        self._queue(
            JobRecord(
                id=document.id,
                name=document.name,
                kind=document.kind,
                size_bytes=document.size_bytes,
                sha256=known.sha256 if known else "",
                created_at=document.created_at,
                replaces=document.pageindex_id,
                request_id=request_id.get(),
            )
        )
        return self._library.get(document_id)

    async def delete(self, document_id: str) -> None:
        """Remove a document; if it is being indexed, that is ended first."""
        self._library.get(document_id)
        if task := self._running.get(document_id):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._library.delete(document_id)

    def _queue(self, record: JobRecord) -> None:
        self._library.save_job(record)
        self._some.set()

    async def _serve(self) -> None:
        while True:
            waiting = self._library.jobs("queued")
            if not waiting:
                self._some.clear()
                await self._some.wait()
                continue
            record = waiting[0].model_copy(update={"state": "indexing", "starts": waiting[0].starts + 1})
            self._library.save_job(record, Progress("reading"))
            task = asyncio.create_task(self._index(record))
            self._running[record.id] = task
            try:
                await asyncio.wait({task})
            finally:
                task.cancel()
                self._running.pop(record.id, None)

    async def _index(self, record: JobRecord) -> None:
        request_id.set(record.request_id)
        started = time.monotonic()
        failure = await self._run(self._job(record))
        if failure is not None:
            log.warning("not indexed", extra={"document": record.id, "code": failure.code})
            self._library.save_job(record.model_copy(update={"state": "failed", "failure": failure}))
            return
        document = self._library.finish_job(record.id)
        seconds = time.monotonic() - started
        log.info(
            "indexed",
            extra={"document": document.id, "pages": document.pages, "duration_ms": round(seconds * 1000)},
        )

    def _job(self, record: JobRecord) -> Job:
        settings = self._settings
        return Job(
            file=self._library.original(self._library.get(record.id)),
            kind=record.kind,
            metadata={
                "id": record.id,
                "name": record.name,
                "kind": record.kind,
                "size_bytes": record.size_bytes,
                "sha256": record.sha256,
                "created_at": record.created_at,
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
        if reason := await self._model.unavailable():
            return Failure(code="model_unavailable", detail=reason)
        pool = self._pool or self._new_pool()
        try:
            future = asyncio.wrap_future(pool.submit(jobs.run, job))
            return await asyncio.wait_for(future, self._settings.index_timeout_s)
        except TimeoutError:
            # A worker that hangs in native code cannot be asked to stop.
            self._kill_pool()
            return Failure(code="timeout")
        except BrokenProcessPool:
            self._kill_pool()
            return Failure(code="crashed")

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


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
