"""Lets PageIndex turn a file into a document; runs in a worker process."""

import asyncio
import errno
import logging
import tempfile
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pypdfium2  # type: ignore[import-untyped]
from pageindex.local_store import DocStore

from ..base.failures import Failure, OcrUnavailable
from ..base.offline import go_offline
from ..documents.outline import outline, page_nodes
from ..model.pageindex_internals import observed, page_texts, use_backend
from ..workers.protocol import IndexJob, Outcome, Report, Reporter
from .meter import Meter

# PageIndex's own modules import LiteLLM only when they first call a model, so this is early enough.
go_offline()

log = logging.getLogger(__name__)
TEXT_CHARS_MOST = 20_000_000  # three times the longest novel; a file of 50 MiB can unpack to gigabytes


def index(job: IndexJob, report: Reporter) -> Outcome:
    """Index the file; without a failure the document is stored, and with one nothing is."""
    meter = Meter(report)
    report(Report(stage="reading"))
    try:
        # Checked before LiteLLM is imported, which takes seconds that most bad files do not deserve.
        meter.outcome.failure = _index_pdf(job, meter) if job.kind == "pdf" else _index_text(job, meter)
    except Exception as error:
        meter.outcome.failure = explain(error)
    return meter.outcome


def _index_pdf(job: IndexJob, meter: Meter) -> Failure | None:
    failure = inspect(job.file, job.max_pages)
    if failure is not None and failure.code == "scanned" and job.ocr is not None:
        from .ocr import read_scan

        pages = read_scan(job.file, job.ocr, job.connection.request_id, meter)
        if not any(page.strip() for page in pages):
            return Failure(code="empty")
        return _index_pages(job, pages, page_nodes(job.file.stem, len(pages)), meter)
    return failure or _index_with_pageindex(job, meter)


def inspect(file: Path, max_pages: int) -> Failure | None:
    """Refuse before any work is done what PageIndex cannot read."""
    try:
        pdf = pypdfium2.PdfDocument(file)
    except pypdfium2.PdfiumError as error:
        return Failure(code="encrypted") if "password" in str(error).lower() else Failure(code="damaged")
    try:
        if len(pdf) == 0:
            return Failure(code="empty")
        if len(pdf) > max_pages:
            return Failure(code="too_many_pages", detail=str(len(pdf)))
        drawn, chars, readable = False, 0, False
        for page in pdf:
            text = page.get_textpage()
            chars += text.count_chars()
            if chars > TEXT_CHARS_MOST:
                return Failure(code="too_much_text")
            readable = readable or bool(text.get_text_bounded().strip())
            drawn = drawn or next(page.get_objects(max_depth=1), None) is not None
            text.close()
            page.close()
        if readable:
            return None
        return Failure(code="scanned" if drawn else "empty")
    except pypdfium2.PdfiumError:
        return Failure(code="damaged")
    finally:
        pdf.close()


def _index_with_pageindex(job: IndexJob, meter: Meter) -> Failure | None:
    from pageindex import PageIndexAPIError, PageIndexLocalClient

    client = PageIndexLocalClient(index=job.connection.index_config(job.storage))
    meter.report(Report(stage="tree"))
    with observed(meter, job.connection.prompt_chars), tempfile.TemporaryDirectory(dir=job.scratch) as scratch:
        file = _unlocked(job.file, Path(scratch))
        try:
            client.submit_document(str(file), metadata=job.metadata)
        except PageIndexAPIError as error:
            if "no layout structure" not in str(error):
                raise
            # PageIndex refuses a longer PDF without headings; its pages are still worth asking.
            pages = page_texts(str(file))
            _save(job, pages, page_nodes(job.file.stem, len(pages)), "")
    return None


def _unlocked(file: Path, scratch: Path) -> Path:
    """The file, or a decrypted copy of it. A PDF that forbids printing or the like is encrypted, even though it opens
    without a password, and PageIndex's second reader (PyPDF2) cannot decrypt it."""
    pdf = pypdfium2.PdfDocument(file)
    try:
        if pypdfium2.raw.FPDF_GetSecurityHandlerRevision(pdf) == -1:
            return file
        pdf.save(scratch / file.name, flags=pypdfium2.raw.FPDF_REMOVE_SECURITY)
        return scratch / file.name
    finally:
        pdf.close()


def _index_text(job: IndexJob, meter: Meter) -> Failure | None:
    parsed = outline(job.file.read_text(encoding="utf-8-sig"), job.file.stem)
    if not parsed.pages:
        return Failure(code="empty")
    if len(parsed.pages) > job.max_pages:
        return Failure(code="too_many_pages", detail=str(len(parsed.pages)))
    return _index_pages(job, parsed.pages, parsed.tree, meter)


def _index_pages(job: IndexJob, pages: list[str], tree: list[dict[str, Any]], meter: Meter) -> None:
    """PageIndex's local mode takes PDFs with text only; for others its summaries are used directly."""
    from pageindex.utils import generate_doc_description, summarize_tree

    config = job.connection.index_config(job.storage)
    use_backend(config["backend"])
    with observed(meter, job.connection.prompt_chars):
        asyncio.run(
            summarize_tree(
                tree,
                [(page, 0) for page in pages],
                model=config["model"],
                concurrency=config["summary_concurrency"],
                max_words=config["summary_max_words"],
                split_shared_pages=True,
            )
        )
        meter.report(Report(stage="description"))
        heads = [{"title": node["title"], "summary": node.get("summary", "")} for node in tree]
        description = generate_doc_description(heads, model=config["model"]) or ""
    _save(job, pages, tree, description)


def _save(job: IndexJob, pages: list[str], tree: list[dict[str, Any]], description: str) -> None:
    """Store a tree that PageIndex did not build, the way PageIndex stores its own."""
    pageindex_id = f"pi-{uuid.uuid4().hex}"
    meta = {
        "id": pageindex_id,
        "name": job.file.name,
        "description": description,
        "status": "completed",
        "createdAt": datetime.now(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds"),
        "pageNum": len(pages),
        "folderId": None,
        "metadata": job.metadata,
        "mode": job.kind,
    }
    store = DocStore(str(job.storage))
    with store.lock():
        store.save_document(
            pageindex_id, meta, tree, [{"page_index": number, "markdown": page} for number, page in enumerate(pages, 1)]
        )


def explain(error: Exception) -> Failure:
    """Tell a fault of the model's server from one of the document."""
    from pageindex.utils import LLMRetriesExhausted

    log.warning("indexing failed", exc_info=error)
    cause: BaseException | None = error
    while cause is not None:
        status = getattr(cause, "status_code", None)
        if isinstance(cause, OcrUnavailable):
            return Failure(code="ocr_unavailable", detail=str(cause))
        if isinstance(cause, MemoryError):
            return Failure(code="out_of_memory")
        if isinstance(cause, LLMRetriesExhausted) or (status is not None and status != 400):
            return Failure(code="model_unavailable", detail=f"it answered {status}" if status else "it does not answer")
        if isinstance(cause, OSError) and cause.errno == errno.ENOSPC:
            return Failure(code="storage_full")
        cause = cause.__cause__ or cause.__context__
    reason = str(error).lower()
    if "no text layer" in reason or "pages are blank" in reason:
        return Failure(code="scanned")
    return Failure(code="damaged")
