"""PageIndex's own chat, for models that can call tools: an agent that walks the tree with them."""

import asyncio
import logging
import re
import tempfile
import threading
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextvars import copy_context
from pathlib import Path
from typing import Any

from pageindex.local_store import DocStore

from ..base.errors import AppError, model_unavailable
from ..base.offline import go_offline
from ..base.settings import Settings
from ..model.client import ModelClient
from ..model.pageindex_internals import counting_client
from ..model.request_context import model_headers
from ..search.document_index import DocumentIndex, Passage
from . import citations
from .follow_up import last_turns
from .strategy import Answer, Event, Source, Stage, Token, Turn

log = logging.getLogger(__name__)

# The agent marks its sources as PageIndex's prompt asks: <cite doc="report.pdf" page="4"/>, after the claim.
_CITE = re.compile(r"<cite\s[^<>]*?doc=([\"'])(?P<doc>.*?)\1[^<>]*?page=([\"'])(?P<page>\d+)[^<>]*?>(?:[^<>]*</cite>)?")
_TURNS_MOST = 12
NO_SUPPORT = "No page of the documents bears this answer out."


class Agent:
    """Answers through ``PageIndexClient.chat``; its citations are checked like any others.

    Its tools only read, and PageIndex holds them to the documents that are asked, whatever a document says.
    """

    def __init__(self, model: ModelClient, settings: Settings, pageindex_dir: Path) -> None:
        self._model = model
        self._settings = settings
        self._pageindex_dir = pageindex_dir
        self._slots = asyncio.Semaphore(settings.model_concurrency)

    async def stream(
        self, question: str, sources: Sequence[Source], history: Sequence[Turn] = ()
    ) -> AsyncGenerator[Event, None]:
        yield Stage("choosing_sections", {"documents": len(sources)})
        reply, shown, answering = "", _WithoutTags(), False
        async with self._slots:
            run = _Run(lambda stopped: self._chat(_messages(question, history), sources, stopped))
            try:
                async for event in run.events():
                    if event["type"] == "tool_call":
                        reply, shown, answering = "", _WithoutTags(), False
                        yield Stage(*_stage_of(event))
                    elif event["type"] == "answer":
                        if not answering:
                            answering = True
                            yield Stage("answering")
                        reply += event["delta"]
                        if text := shown.add(event["delta"]):
                            yield Token(text)
            finally:
                run.stop()
        yield _answer(reply, question, [source.index for source in sources])

    def _chat(
        self, messages: list[dict[str, str]], sources: Sequence[Source], stopped: threading.Event
    ) -> Iterator[dict[str, Any]]:
        """The chat's events. Blocking: PageIndex runs an event loop of its own."""
        go_offline()
        from pageindex import PageIndexAPIError

        with tempfile.TemporaryDirectory() as scratch:
            storage, ids = self._pageindex_dir, [source.record.pageindex_id for source in sources if source.record]
            if not ids:
                storage, ids = Path(scratch), [_store_text(source.index, Path(scratch)) for source in sources]
            client = counting_client()(
                count=self._model.count,
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
                stream = client.chat(
                    messages,
                    doc_id=ids,
                    stream=True,
                    citations=True,
                    max_turns=_TURNS_MOST,
                    extra_headers=model_headers(),
                )
                try:
                    for event in stream.events:
                        if stopped.is_set():
                            return
                        yield event
                finally:
                    stream.close()
            except PageIndexAPIError as error:
                if "finish_reason" not in str(error):  # an answer that was cut at its longest is still an answer
                    raise _explain(error) from error


class _Run:
    """Runs a blocking iterator in a thread of its own: it takes minutes, and uploads need the pool's threads."""

    def __init__(self, work: Callable[[threading.Event], Iterator[dict[str, Any]]]) -> None:
        self._work = work
        self._stopped = threading.Event()
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[dict[str, Any] | Exception | None] = asyncio.Queue()
        # With the request's context: the thread logs the request's id and sends it to the model.
        threading.Thread(target=copy_context().run, args=(self._run,), daemon=True, name="agent").start()

    def _run(self) -> None:
        try:
            for event in self._work(self._stopped):
                self._put(event)
        except Exception as raised:
            self._put(raised)
        self._put(None)

    def _put(self, item: dict[str, Any] | Exception | None) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._queue.put_nowait, item)

    async def events(self) -> AsyncGenerator[dict[str, Any], None]:
        while (item := await self._queue.get()) is not None:
            if isinstance(item, Exception):
                raise item
            yield item

    def stop(self) -> None:
        """End the run at its next event, and the request to the model with it."""
        self._stopped.set()


class _WithoutTags:
    """Removes <cite …/> tags from the tokens; a tag may come in several pieces."""

    def __init__(self) -> None:
        self._held = ""

    def add(self, piece: str) -> str:
        text = _CITE.sub("", self._held + piece)
        cut = text.rfind("<")
        tail = text[cut:] if cut >= 0 else ""
        holds = bool(tail) and ">" not in tail and ("<cite ".startswith(tail) or tail.startswith("<cite "))
        self._held = tail if holds else ""
        return text[:cut] if holds else text


def _messages(question: str, history: Sequence[Turn]) -> list[dict[str, str]]:
    turns = [{"role": turn.role, "content": turn.content} for turn in last_turns(history)]
    return [*turns, {"role": "user", "content": question}]


def _stage_of(event: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    arguments = event["arguments"] if isinstance(event["arguments"], dict) else {}
    if event["name"] == "get_page_content":
        detail = {key: arguments[key] for key in ("doc_name", "pages") if isinstance(arguments.get(key), str)}
        return "reading_pages", detail
    return "choosing_sections", {"tool": event["name"]}


def _store_text(index: DocumentIndex, storage: Path) -> str:
    """Store a text that came with the question as a PageIndex document, in a folder that is removed later."""
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
    """Turn the agent's tags into citations; a page that does not support its claim is counted, not cited."""
    named = {document.name: document for document in documents}
    cited: list[citations.Citation] = []
    start = dropped = 0
    for tag in _CITE.finditer(reply):
        claim = _CITE.sub("", reply[start : tag.start()]).strip() or _CITE.sub("", reply).strip()
        if reply[tag.end() :].lstrip()[:5] != "<cite":  # several tags in a row share a claim
            start = tag.end()
        document = named.get(tag["doc"]) or (documents[0] if len(documents) == 1 else None)
        page = int(tag["page"])
        if document is None or not document.page_text(page):
            dropped += 1
            continue
        here: list[tuple[DocumentIndex, Passage]] = [(document, p) for p in document.passages if p.page == page]
        bearing = citations.Evidence(question, citations.candidates(here), documents).bearing(claim)
        held = citations.cite(bearing[:1])
        dropped += not held.citations
        for citation in held.citations:
            if all((citation.document_id, citation.pages) != (c.document_id, c.pages) for c in cited):
                cited.append(citation)
    text = re.sub(r"\s+([.,;:!?])", r"\1", _CITE.sub("", reply)).strip()
    if not cited:
        text = f"{text}\n\n{NO_SUPPORT}".strip()
    return Answer(
        answer=text,
        support="supported" if cited else "none",
        citations=cited,
        mode="agent",
        dropped_citations=dropped,
    )


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
    if reason.startswith("the agent backend failed"):
        return AppError(
            502,
            "agent_failed",
            "The language model used its tools in a way that they do not allow.",
            "Ask again, or use ANSWER_MODE=two-step.",
        )
    if status is None or status in (401, 403, 404, 408, 429) or status >= 500:
        return model_unavailable(f"it answered {status}" if status else "it does not answer")
    return AppError(502, "model_refused", "The language model refused the request.", "See the log of its server.")
