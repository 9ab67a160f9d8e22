"""Routes that answer questions."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field, StringConstraints

from ...answering.questions import Question
from ...answering.strategy import Answer, Event, Stage, Token, final
from ...base.errors import AppError
from ...services import Services
from .. import sse
from ..client_disconnect import unless_disconnected
from ..dependencies import AppServices, Client
from ..errors import reported

router = APIRouter(tags=["questions"])


class AskRequest(BaseModel):
    question: Question
    document_ids: list[str] | None = Field(None, max_length=1000, description="Default: all documents.")
    conversation_id: str | None = Field(None, max_length=100, description="Default: nothing is kept.")


class ProcessRequest(BaseModel):
    document: Annotated[str, StringConstraints(min_length=1)] = Field(description="A text, or a document's id.")
    query: Question


@router.post("/api/ask", response_model=Answer)
async def ask(services: AppServices, client: Client, body: AskRequest, request: Request) -> Response | Answer:
    """Answer from the named documents, or from all.

    With `Accept: text/event-stream` the stages and the answer's words come as they are made.
    """
    events = conversed(services, client, body)
    if "text/event-stream" in request.headers.get("accept", ""):
        return sse.response(lines(events))
    return await unless_disconnected(request, final(events))


@router.post("/api/process")
async def process(services: AppServices, body: ProcessRequest, request: Request) -> Answer:
    """Answer from a text that comes with the question, or from one stored document."""
    if len(body.document.encode()) > services.settings.max_upload_bytes:
        raise AppError(413, "too_large", f"The text is larger than {services.settings.max_upload_mib} MiB.")
    return await unless_disconnected(request, services.questions.process(body.document, body.query))


async def conversed(services: Services, client: str, body: AskRequest) -> AsyncIterator[Event]:
    """The events of an answer; question and answer are kept if a conversation is named."""
    history = services.conversations.turns(client, body.conversation_id) if body.conversation_id else []
    async for event in services.questions.stream(body.question, body.document_ids, history):
        if isinstance(event, Answer) and body.conversation_id:
            event = event.model_copy(update={"conversation_id": body.conversation_id})
            services.conversations.add(client, body.conversation_id, body.question, event)
        yield event


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
    except Exception as error:
        yield sse.line("error", reported(error).body())
