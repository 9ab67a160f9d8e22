"""PageIndex's own chat: an agent that walks the tree with tools. For models that can call tools."""

import asyncio
import logging
import re
import tempfile
import threading
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any

from pageindex.local_store import DocStore

from . import citations
from .answering import Answer, Event, Source, Stage, Turn
from .errors import AppError, model_unavailable
from .follow_up import last_turns
from .logs import request_id
from .offline import go_offline
from .search import DocumentIndex, Passage
from .settings import Settings

log = logging.getLogger(__name__)

# The agent marks its sources as PageIndex's prompt asks: <cite doc="report.pdf" page="4"/>, after the claim.
_CITE = re.compile(r"<cite\s[^<>]*?doc=([\"'])(?P<doc>.*?)\1[^<>]*?page=([\"'])(?P<page>\d+)[^<>]*?>(?:[^<>]*</cite>)?")
_TURNS_MOST = 12


class Agent:
    """Answers through ``PageIndexClient.chat``; its citations are checked like any others."""

    def __init__(self, settings: Settings, pageindex_dir: Path) -> None:
        self._settings = settings
        self._pageindex_dir = pageindex_dir
        self._slots = asyncio.Semaphore(settings.model_concurrency)

    async def stream(
        self, question: str, sources: Sequence[Source], history: Sequence[Turn] = ()
    ) -> AsyncGenerator[Event, None]:
        yield Stage("choosing_sections", {"documents": len(sources)})
        async with self._slots:
            reply = await _in_thread(self._chat, _messages(question, history), sources)
        yield _answer(reply, question, [source.index for source in sources])

    def _chat(self, messages: list[dict[str, str]], sources: Sequence[Source]) -> str:
        """Blocking; PageIndex runs an event loop of its own."""
        go_offline()
        from pageindex import PageIndexAPIError, PageIndexLocalClient

        with tempfile.TemporaryDirectory() as scratch:
            storage, ids = self._pageindex_dir, [source.record.pageindex_id for source in sources if source.record]
            if not ids:
                storage, ids = Path(scratch), [_store_for_now(source.index, Path(scratch)) for source in sources]
            client = PageIndexLocalClient(
                index={"mode": "local", "storage_path": str(storage)},
                chat={
                    "mode": "local",
                    "model": f"openai/{self._settings.vllm_model}",
                    "backend": {
                        "base_url": self._settings.vllm_base_url,
                        "api_key": self._settings.api_key(),
                        "timeout": self._settings.model_timeout_s,
                    },
                },
            )
            try:
                return client.chat(
                    messages,
                    doc_id=ids,
                    citations=True,
                    max_turns=_TURNS_MOST,
                    extra_headers={"X-Request-Id": request_id.get()},
                )
            except PageIndexAPIError as error:
                raise _explain(error) from error


def _messages(question: str, history: Sequence[Turn]) -> list[dict[str, str]]:
    turns = [{"role": turn.role, "content": turn.content} for turn in last_turns(history)]
    return [*turns, {"role": "user", "content": question}]


async def _in_thread(function: Any, *arguments: Any) -> Any:
    """`asyncio.to_thread` for calls that take minutes: they must not use up the threads that uploads need."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()

    def settle(result: Any, error: BaseException | None) -> None:
        if not future.done():
            future.set_exception(error) if error else future.set_result(result)

    identity = request_id.get()

    def work() -> None:
        request_id.set(identity)
        try:
            outcome, error = function(*arguments), None
        except Exception as raised:
            outcome, error = None, raised
        loop.call_soon_threadsafe(settle, outcome, error)

    threading.Thread(target=work, daemon=True, name="agent").start()
    return await future


def _store_for_now(index: DocumentIndex, storage: Path) -> str:
    """A text that came with the question, as a PageIndex document that lives as long as its answer."""
    meta = {
        "id": "pi-text",
        "name": index.name,
        "description": "",
        "status": "completed",
        "createdAt": "1970-01-01T00:00:00.000",
        "pageNum": len(index.pages),
    }
    pages = [{"page_index": number, "markdown": page} for number, page in enumerate(index.pages, 1)]
    DocStore(str(storage)).save_document("pi-text", meta, index.tree, pages)
    return "pi-text"


def _answer(reply: str, question: str, documents: Sequence[DocumentIndex]) -> Answer:
    """Turn the agent's tags into citations; a page that does not bear its claim out is not cited."""
    named = {document.name: document for document in documents}
    cited: list[citations.Citation] = []
    start = 0
    for tag in _CITE.finditer(reply):
        claim = _CITE.sub("", reply[start : tag.start()]).strip() or _CITE.sub("", reply).strip()
        if reply[tag.end() :].lstrip()[:5] != "<cite":  # several tags in a row share a claim
            start = tag.end()
        document = named.get(tag["doc"]) or (documents[0] if len(documents) == 1 else None)
        page = int(tag["page"])
        if document is None or not document.page_text(page):
            continue
        here: list[tuple[DocumentIndex, Passage]] = [(document, p) for p in document.passages if p.page == page]
        bearing = citations.Evidence(question, citations.candidates(here), documents).bearing(claim)
        for citation in citations.cite(bearing[:1]):
            if all((citation.document_id, citation.pages) != (c.document_id, c.pages) for c in cited):
                cited.append(citation)
    text = re.sub(r"\s+([.,;:!?])", r"\1", _CITE.sub("", reply)).strip()
    return Answer(answer=text, support="supported" if cited else "none", citations=cited, mode="agent")


def _explain(error: Exception) -> AppError:
    status = getattr(error, "status_code", None)
    reason = str(error).lower()
    log.warning("agent failed", exc_info=error)
    if "tool" in reason and "choice" in reason:
        return AppError(
            501,
            "no_tool_calls",
            "The language model's server does not accept tool calls, which ANSWER_MODE=agent needs.",
            "Start vLLM with --enable-auto-tool-choice and a --tool-call-parser, or use ANSWER_MODE=two-step.",
        )
    if "turns" in reason:
        return AppError(
            504, "agent_gave_up", "The agent found no answer in the steps it is allowed.", "Ask a narrower question."
        )
    if status is None or status in (401, 403, 404, 408, 429) or status >= 500:
        return model_unavailable(f"it answered {status}" if status else "it does not answer")
    return AppError(502, "model_refused", "The language model refused the request.", "See the log of its server.")
