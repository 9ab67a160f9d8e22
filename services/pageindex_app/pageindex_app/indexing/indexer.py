"""The durable queue between uploads and documents; its jobs run in worker processes, so a bad file stops no other."""

import asyncio
import contextlib
import logging
import time

from ..base.clock import timestamp
from ..base.errors import AppError
from ..base.failures import Failure, refusal
from ..base.logs import request_id
from ..base.metrics import Metrics
from ..base.settings import Settings
from ..documents.document import Document
from ..documents.job_records import JobRecord
from ..documents.library import Library
from ..documents.uploads import Upload
from ..model.client import ModelClient
from ..workers.protocol import Connection, IndexJob, OcrConnection, Outcome, Report
from ..workers.worker_process import WorkerProcess

log = logging.getLogger(__name__)

STARTS_MOST = 5  # a file that was being indexed at so many ends of the whole service is taken for their cause
RETRIES_MOST = 8  # when the model breaks off in the middle although it said that it was ready
RETRY_S, RETRY_MOST_S = 5.0, 300.0
PROBE_S, PROBE_MOST_S = 1.0, 30.0
_TRANSIENT = ("model_unavailable", "ocr_unavailable")


class Indexer:
    """Adds documents to the library in the background. Start it, add, stop it."""

    def __init__(self, settings: Settings, library: Library, model: ModelClient, metrics: Metrics) -> None:
        self._settings = settings
        self._library = library
        self._model = model
        self._metrics = metrics
        self._some = asyncio.Event()
        self._not_before: dict[str, float] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._running: dict[str, asyncio.Task[None]] = {}
        self._deleting: set[str] = set()
        self.workers: list[WorkerProcess] = []

    def start(self) -> None:
        """Take up what the last process left, then wait for more."""
        for record in self._library.jobs("indexing"):
            if record.starts >= STARTS_MOST:
                self._library.save_job(_failed(record, Failure(code="crashed")))
            else:
                self._library.save_job(record.model_copy(update={"state": "queued"}))
        self.workers = [WorkerProcess(self._settings.index_memory_mib) for _ in range(self._settings.index_workers)]
        self._tasks = [asyncio.create_task(self._serve(worker)) for worker in self.workers]

    async def stop(self) -> None:
        """What is being indexed goes back into the queue."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for worker in self.workers:
            await worker.kill()

    def add(self, upload: Upload) -> tuple[Document, bool]:
        """The document, and whether there is anything to do; the same bytes are one document, also while queued."""
        known = self._library.find(upload.document_id)
        if known is not None:
            upload.path.unlink(missing_ok=True)
            return (known, False) if known.status != "failed" else (self.reindex(known.id), True)
        name = self._library.free_name(upload.name, upload.suffix)
        try:
            self._library.keep_original(upload.path, upload.document_id, name)
            self._queue(
                JobRecord(
                    id=upload.document_id,
                    name=name,
                    kind=upload.kind,
                    size_bytes=upload.size_bytes,
                    sha256=upload.sha256,
                    created_at=timestamp(),
                    request_id=request_id.get(),
                )
            )
        except OSError as error:
            upload.path.unlink(missing_ok=True)
            self._library.drop_original(upload.document_id)
            raise refusal(Failure(code="storage_full"), self._settings) from error
        return self._library.get(upload.document_id), True

    def reindex(self, document_id: str) -> Document:
        """Index a document anew; until that is done the old index answers."""
        document = self._library.get(document_id)
        if document.status in ("queued", "indexing"):
            return document
        self._library.original(document)
        self._queue(
            JobRecord(
                id=document.id,
                name=document.name,
                kind=document.kind,
                size_bytes=document.size_bytes,
                sha256=document.sha256,
                created_at=document.created_at,
                replaces=document.pageindex_id,
                request_id=request_id.get(),
            )
        )
        return self._library.get(document_id)

    async def delete(self, document_id: str) -> None:
        """Remove a document; if it is being indexed, that is ended first."""
        self._library.get(document_id)
        self._deleting.add(document_id)
        try:
            if task := self._running.get(document_id):
                task.cancel()
                await asyncio.wait({task})
            with contextlib.suppress(AppError):  # somebody else deleted it meanwhile
                self._library.delete(document_id)
        finally:
            self._deleting.discard(document_id)
            self._not_before.pop(document_id, None)

    def _queue(self, record: JobRecord) -> None:
        self._not_before.pop(record.id, None)
        self._library.save_job(record)
        self._some.set()

    async def _serve(self, worker: WorkerProcess) -> None:
        with contextlib.suppress(OSError):
            await worker.start(warm=True)  # so that the first upload finds the imports done
        while True:
            record = await self._next()
            task = asyncio.create_task(self._index(record, worker))
            self._running[record.id] = task
            try:
                await asyncio.wait({task})
            finally:
                task.cancel()
                await asyncio.wait({task})
                self._running.pop(record.id, None)

    async def _next(self) -> JobRecord:
        """The oldest job whose time has come, once there is a model; it is marked as begun."""
        probe_s = PROBE_S
        while True:
            self._some.clear()
            if not self._due():
                next_s = min(self._not_before.values(), default=None)
                wait_s = None if next_s is None else max(next_s - time.monotonic(), 0.05)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._some.wait(), wait_s)
                continue
            # Asked first: PageIndex itself would try for minutes before it gives up.
            if reason := await self._model.unavailable(self._settings.summarising[0]):
                self._library.wait_for(Failure(code="model_unavailable", detail=reason))
                await asyncio.sleep(probe_s)
                probe_s = min(probe_s * 2, PROBE_MOST_S)
                continue
            self._library.wait_for(None)
            probe_s = PROBE_S
            if due := self._due():
                self._not_before.pop(due[0].id, None)
                record = due[0].model_copy(update={"state": "indexing", "starts": due[0].starts + 1, "failure": None})
                self._library.save_job(record, Report(stage="reading"))
                return record

    def _due(self) -> list[JobRecord]:
        at = time.monotonic()
        return [
            record
            for record in self._library.jobs("queued")
            if self._not_before.get(record.id, 0.0) <= at and record.id not in self._deleting
        ]

    async def _index(self, record: JobRecord, worker: WorkerProcess) -> None:
        request_id.set(record.request_id)
        started = time.monotonic()
        clock = _StageClock(self._metrics)

        def reported(report: Report) -> None:
            clock.enter(report.stage)
            self._library.set_progress(record.id, report)

        try:
            outcome = await worker.run(self._job(record), self._settings.index_timeout_s, reported)
        except asyncio.CancelledError:
            if record.id not in self._deleting:  # the service stops: that is no fault of the file
                again = record.model_copy(update={"state": "queued", "starts": record.starts - 1})
                self._library.save_job(again)
            raise
        except Exception:
            log.error("unforeseen error", exc_info=True)
            outcome = Outcome(failure=Failure(code="crashed"))
        clock.enter("")
        summarising, index, scans = self._settings.summarising[0], outcome.index, outcome.scans
        self._metrics.tokens("index", summarising, index.prompt, index.completion)
        if scans.prompt or scans.completion:
            self._metrics.tokens("scans", self._settings.ocr_model, scans.prompt, scans.completion)
        self._metrics.job_ended(outcome.failure.code if outcome.failure else "ready")
        if outcome.failure is None:
            document = self._library.finish_job(record.id)
            seconds = time.monotonic() - started
            fields = {"document": document.id, "pages": document.pages, "duration_ms": round(seconds * 1000)}
            log.info("indexed", extra=fields)
            return
        self._library.drop_indexes(record.id, but=record.replaces)
        log.warning("not indexed", extra={"document": record.id, "code": outcome.failure.code})
        if outcome.failure.code in _TRANSIENT and record.retries < RETRIES_MOST:
            wait_s = min(RETRY_S * 2**record.retries, RETRY_MOST_S)
            self._not_before[record.id] = time.monotonic() + wait_s
            update = {"state": "queued", "starts": 0, "retries": record.retries + 1, "failure": outcome.failure}
            self._library.save_job(record.model_copy(update=update), Report(stage="waiting_for_model"))
            self._some.set()
            return
        self._library.save_job(_failed(record, outcome.failure))

    def _job(self, record: JobRecord) -> IndexJob:
        settings = self._settings
        summarising, window = settings.summarising
        ocr = None
        if settings.ocr_base_url is not None:
            ocr = OcrConnection(
                base_url=settings.ocr_base_url,
                model=settings.ocr_model,
                api_key=settings.ocr_api_key(),
                context_tokens=settings.ocr_context_tokens,
                timeout_s=settings.ocr_timeout_s,
                concurrency=settings.summary_concurrency,
            )
        return IndexJob(
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
                model=summarising,
                context_tokens=window,
                api_key=settings.api_key(),
                timeout_s=settings.summary_timeout_s,
                summary_concurrency=settings.summary_concurrency,
                summary_max_words=settings.summary_max_words,
                optimize=settings.optimize,
                request_id=record.request_id,
            ),
            ocr=ocr,
        )


class _StageClock:
    """Seconds between one stage's first report and the next's."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._stage = ""
        self._since = time.monotonic()

    def enter(self, stage: str) -> None:
        if stage == self._stage:
            return
        if self._stage:
            self._metrics.stage("index", self._stage, time.monotonic() - self._since)
        self._stage, self._since = stage, time.monotonic()


def _failed(record: JobRecord, failure: Failure) -> JobRecord:
    return record.model_copy(update={"state": "failed", "failure": failure})
