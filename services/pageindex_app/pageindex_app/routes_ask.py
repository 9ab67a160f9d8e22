"""Routes that answer questions."""

import logging
import time
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field, StringConstraints

from . import sse
from .answering import Answer, Event, Stage, Token, final
from .dependencies import Client, Parts
from .errors import AppError, unforeseen
from .leaving import unless_left
from .services import Services

log = logging.getLogger(__name__)
router = APIRouter(tags=["questions"])

Question = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=4000)]


class AskRequest(BaseModel):
    question: Question
    document_ids: list[str] | None = Field(None, max_length=1000, description="Default: all documents.")
    conversation_id: str | None = Field(None, max_length=100, description="Default: nothing is kept.")


class ProcessRequest(BaseModel):
    document: Annotated[str, StringConstraints(min_length=1)] = Field(description="A text, or a document's id.")
    query: Question


@router.post("/api/ask", response_model=Answer)
async def ask(parts: Parts, client: Client, body: AskRequest, request: Request) -> Response | Answer:
    """Answer from the named documents, or from all.

    With `Accept: text/event-stream` the stages and the answer's words come as they are made.
    """
    events = conversed(parts, client, body)
    if "text/event-stream" in request.headers.get("accept", ""):
        return sse.response(lines(events))
    return await unless_left(request, final(events))


@router.post("/api/process")
async def process(parts: Parts, body: ProcessRequest, request: Request) -> Answer:
    """Answer from a text that comes with the question, or from one stored document."""
    if len(body.document.encode()) > parts.settings.max_upload_bytes:
        raise AppError(413, "too_large", f"The text is larger than {parts.settings.max_upload_mib} MiB.")
    started = time.monotonic()
    answer = await unless_left(request, parts.questions.process(body.document, body.query))
    log_answer(answer, started)
    return answer


async def conversed(parts: Services, client: str, body: AskRequest) -> AsyncIterator[Event]:
    """The events of an answer; question and answer are kept if a conversation is named."""
    started = time.monotonic()
    history = parts.conversations.turns(client, body.conversation_id) if body.conversation_id else []
    async for event in parts.questions.stream(body.question, body.document_ids, history):
        if isinstance(event, Answer):
            log_answer(event, started)
            if body.conversation_id:
                event = event.model_copy(update={"conversation_id": body.conversation_id})
                parts.conversations.add(client, body.conversation_id, body.question, event)
        yield event


def log_answer(answer: Answer, started: float) -> None:
    log.info(
        "answered",
        extra={
            "mode": answer.mode,
            "support": answer.support,
            "citations": len(answer.citations),
            "dropped_citations": answer.dropped_citations,
            "duration_ms": round((time.monotonic() - started) * 1000),
        },
    )


async def lines(events: AsyncIterator[Event]) -> AsyncIterator[bytes]:
    """Events on the wire. The status is sent by then, so errors are events too."""
    try:
        async for event in events:
            match event:
                case Stage():
                    yield sse.line("stage", {"stage": event.name, **event.detail})
                case Token():
                    yield sse.line("token", {"text": event.text})
                case Answer():
                    yield sse.line("answer", event.model_dump())
    except AppError as error:
        log.warning("refused", extra={"code": error.code, "status": error.status})
        yield sse.line("error", error.body())
    except Exception:
        log.error("unforeseen error", exc_info=True)
        yield sse.line("error", unforeseen().body())
