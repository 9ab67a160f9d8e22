"""What runs in the index worker: PageIndex itself, in a process of its own.

PDFium may not be used from two threads and may crash on hostile files, and building a tree keeps
Python busy for seconds; in a process of its own none of that reaches the API.
"""

import asyncio
import errno
import logging
import os
import tempfile
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pypdfium2  # type: ignore[import-untyped]
from pageindex.local_store import DocStore

from .failures import Failure
from .markdown import outline, page_nodes
from .offline import go_offline

# PageIndex's own modules import LiteLLM only when they first call a model, so this is early enough.
go_offline()

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Connection:
    """How PageIndex reaches the model, and how hard it may lean on it."""

    base_url: str
    model: str
    api_key: str
    timeout_s: int
    summary_concurrency: int
    summary_max_words: int
    optimize: str

    def index_config(self, storage: Path) -> dict[str, Any]:
        """PageIndex's ``index=`` argument."""
        return {
            "mode": "local",
            "model": f"openai/{self.model}",
            "backend": {
                "api_base": self.base_url,
                "api_key": self.api_key,
                "timeout": self.timeout_s,
                # Room for the JSON around the words; a model that does not stop is stopped.
                "max_tokens": self.summary_max_words * 2 + 50,
            },
            "storage_path": str(storage),
            "summary_concurrency": self.summary_concurrency,
            "summary_max_words": self.summary_max_words,
            "optimize": self.optimize,
        }


@dataclass(frozen=True)
class Job:
    """One file to be indexed into PageIndex's store."""

    file: Path
    kind: str
    metadata: dict[str, Any]
    storage: Path
    scratch: Path
    max_pages: int
    connection: Connection


def prepare() -> None:
    """Run once in a new worker: the imports take seconds, and its log looks like the service's."""
    from .logs import configure_logging

    configure_logging()
    import litellm  # noqa: F401
    import pageindex.flash  # noqa: F401


def ready() -> int:
    return os.getpid()


def run(job: Job) -> Failure | None:
    """Index the file; None once the document is stored, and nothing is stored otherwise."""
    try:
        if job.kind != "pdf":
            return _index_markdown(job)
        return _inspect(job.file, job.max_pages) or _index_pdf(job)
    except Exception as error:
        return _explain(error)


def _inspect(file: Path, max_pages: int) -> Failure | None:
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
        drawn = False
        for page in pdf:
            if page.get_textpage().get_text_bounded().strip():
                return None
            drawn = drawn or next(page.get_objects(max_depth=1), None) is not None
        return Failure("scanned" if drawn else "empty")
    except pypdfium2.PdfiumError:
        return Failure(code="damaged")
    finally:
        pdf.close()


def _index_pdf(job: Job) -> Failure | None:
    from pageindex import PageIndexAPIError, PageIndexLocalClient
    from pageindex.local_api import LocalAPI

    client = PageIndexLocalClient(index=job.connection.index_config(job.storage))
    with tempfile.TemporaryDirectory(dir=job.scratch) as scratch:
        file = _unlocked(job.file, Path(scratch))
        try:
            client.submit_document(str(file), metadata=job.metadata)
        except PageIndexAPIError as error:
            if "no layout structure" not in str(error):
                raise
            # PageIndex refuses a longer PDF without headings; its pages are still worth asking.
            pages = LocalAPI._extract_page_texts(str(file))
            _save(job, pages, page_nodes(job.file.stem, len(pages)), "")
    return None


def _unlocked(file: Path, scratch: Path) -> Path:
    """A copy without the lock of a PDF that opens without a password but forbids printing or the like:
    PageIndex's second reader (PyPDF2) cannot decrypt it."""
    pdf = pypdfium2.PdfDocument(file)
    try:
        if pypdfium2.raw.FPDF_GetSecurityHandlerRevision(pdf) == -1:
            return file
        pdf.save(scratch / file.name, flags=pypdfium2.raw.FPDF_REMOVE_SECURITY)
        return scratch / file.name
    finally:
        pdf.close()


def _index_markdown(job: Job) -> Failure | None:
    """PageIndex's local mode takes PDFs only; its Markdown parser and summaries are used directly."""
    from pageindex.utils import _llm_backend, generate_doc_description, summarize_tree

    parsed = outline(job.file.read_text(encoding="utf-8-sig"), job.file.stem)
    if not parsed.pages:
        return Failure(code="empty")
    if len(parsed.pages) > job.max_pages:
        return Failure(code="too_many_pages", detail=str(len(parsed.pages)))
    config = job.connection.index_config(job.storage)
    _llm_backend.set(config["backend"])
    asyncio.run(
        summarize_tree(
            parsed.tree,
            [(page, 0) for page in parsed.pages],
            model=config["model"],
            concurrency=config["summary_concurrency"],
            max_words=config["summary_max_words"],
            split_shared_pages=True,
        )
    )
    heads = [{"title": node["title"], "summary": node.get("summary", "")} for node in parsed.tree]
    _save(job, parsed.pages, parsed.tree, generate_doc_description(heads, model=config["model"]) or "")
    return None


def _save(job: Job, pages: list[str], tree: list[dict[str, Any]], description: str) -> None:
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


def _explain(error: Exception) -> Failure:
    """Tell a fault of the model's server from one of the document."""
    from pageindex.utils import LLMRetriesExhausted

    log.warning("indexing failed", exc_info=error)
    cause: BaseException | None = error
    while cause is not None:
        status = getattr(cause, "status_code", None)
        if isinstance(cause, LLMRetriesExhausted) or (status is not None and status != 400):
            return Failure(code="model_unavailable", detail=f"it answered {status}" if status else "it does not answer")
        if isinstance(cause, OSError) and cause.errno == errno.ENOSPC:
            return Failure(code="storage_full")
        cause = cause.__cause__ or cause.__context__
    reason = str(error).lower()
    if "no text layer" in reason or "pages are blank" in reason:
        return Failure(code="scanned")
    return Failure(code="damaged")
