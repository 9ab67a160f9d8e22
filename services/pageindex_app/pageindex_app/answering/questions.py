"""Answers a request: finds the documents, and lets the strategy answer from them."""

import asyncio
import hashlib
import logging
import re
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Annotated

from pydantic import StringConstraints

from ..base.errors import AppError
from ..base.metrics import Metrics
from ..documents.document import Document
from ..documents.library import Library
from ..documents.outline import outline
from ..model.request_context import set_subject
from ..search.document_index import DocumentIndex
from .strategy import Answer, Event, Source, Stage, Strategy, Turn, final

log = logging.getLogger(__name__)

DOCUMENT_ID = re.compile(r"doc-[0-9a-f]{16}")
QUESTION_CHARS = 4000  # longest question
Question = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=QUESTION_CHARS)]


class Questions:
    """Questions to stored documents, and to a text that comes with the question."""

    def __init__(self, library: Library, strategy: Strategy, metrics: Metrics) -> None:
        self._library = library
        self._strategy = strategy
        self._metrics = metrics

    async def stream(
        self, question: str, document_ids: Sequence[str] | None, history: Sequence[Turn] = ()
    ) -> AsyncGenerator[Event, None]:
        """Ask the named documents, or all of them: stages and tokens as they come, the answer last."""
        started = time.monotonic()
        documents = self._asked(document_ids)
        set_subject([document.id for document in documents])
        sources = await asyncio.to_thread(
            lambda: [Source(_prepared(self._library.index(document)), document) for document in documents]
        )
        async with aclosing(self._measured(question, sources, history, started)) as events:
            async for event in events:
                yield event

    async def ask(self, question: str, document_ids: Sequence[str] | None, history: Sequence[Turn] = ()) -> Answer:
        """The last event of ``stream``."""
        return await final(self.stream(question, document_ids, history))

    async def process(self, document: str, query: str) -> Answer:
        """``document`` is the id of a stored one or a text; a text is not kept."""
        if DOCUMENT_ID.fullmatch(document.strip()):
            return await self.ask(query, [document.strip()])
        started = time.monotonic()
        index = await asyncio.to_thread(_from_text, document)
        return await final(self._measured(query, [Source(index)], (), started))

    async def _measured(
        self, question: str, sources: Sequence[Source], history: Sequence[Turn], started: float
    ) -> AsyncGenerator[Event, None]:
        """The strategy's events; the time in each stage and the answer's figures go to the metrics and the log."""
        stage, since = "", time.monotonic()
        async with aclosing(self._strategy.stream(question, sources, history)) as events:
            async for event in events:
                if isinstance(event, Stage | Answer):
                    if stage:
                        self._metrics.stage("ask", stage, time.monotonic() - since)
                    stage, since = event.name if isinstance(event, Stage) else "", time.monotonic()
                if isinstance(event, Answer):
                    self._metrics.answered(event.mode, event.support, event.dropped_citations)
                    _log(event, time.monotonic() - started)
                yield event

    def _asked(self, document_ids: Sequence[str] | None) -> list[Document]:
        if document_ids:
            documents = [self._library.get(document_id) for document_id in dict.fromkeys(document_ids)]
        else:
            documents = self._library.ready()
        waiting = [document.name for document in documents if not document.readable]
        if waiting:
            raise AppError(
                409,
                "not_ready",
                f"{waiting[0]!r} is not indexed yet.",
                "GET /api/documents/{id} says how far it is; ask again when its status is ready.",
                retry_after_s=5,
            )
        if not documents:
            raise AppError(
                409, "no_documents", "There is no document to ask yet.", "Upload one with POST /api/documents."
            )
        return documents


def _prepared(index: DocumentIndex) -> DocumentIndex:
    """Build the postings now, in a thread; at their first use they would block the event loop."""
    index.passage_postings  # noqa: B018
    index.section_postings  # noqa: B018
    return index


def _log(answer: Answer, seconds: float) -> None:
    log.info(
        "answered",
        extra={
            "mode": answer.mode,
            "support": answer.support,
            "citations": len(answer.citations),
            "dropped_citations": answer.dropped_citations,
            "duration_ms": round(seconds * 1000),
        },
    )


def _from_text(document: str) -> DocumentIndex:
    parsed = outline(document, "text")
    if not parsed.pages:
        raise AppError(422, "empty", "The document is empty.", "Send text, or the id of an uploaded document.")
    digest = hashlib.sha256(document.encode()).hexdigest()[:16]
    return _prepared(DocumentIndex(f"text-{digest}", "text", parsed.pages, parsed.tree))
