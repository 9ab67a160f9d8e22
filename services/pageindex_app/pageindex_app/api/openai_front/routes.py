"""An OpenAI-compatible front: chat with all documents, or with one, from any client that speaks to OpenAI."""

import json
import re
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from fastapi import APIRouter, Request, Response

from ...answering.strategy import Answer, Event, Stage, final
from ...model.request_context import TokenUsage, count_tokens
from .. import sse
from ..client_disconnect import unless_disconnected
from ..dependencies import AppServices
from ..errors import reported
from .errors import OpenAIRoute, error_body
from .models import document_of, model_of, model_of_all
from .replies import content, structured, usage_counts
from .requests import ChatRequest, conversation, refuse_what_cannot_be_done

router = APIRouter(prefix="/v1", tags=["openai"], route_class=OpenAIRoute)


@router.get("/models")
def list_models(services: AppServices) -> dict[str, Any]:
    """`pageindex` asks all documents; each document that is ready is a model too."""
    documents = services.library.ready()
    return {"object": "list", "data": [model_of_all(documents), *map(model_of, documents)]}


@router.get("/models/{model:path}")
def get_model(services: AppServices, model: str) -> dict[str, Any]:
    document = document_of(services.library, model)
    return model_of(document) if document else model_of_all(services.library.ready())


@router.post("/chat/completions", response_model=None)
async def chat(services: AppServices, body: ChatRequest, request: Request) -> Response | dict[str, Any]:
    """The last message of the user is the question, what was said before is its context."""
    refuse_what_cannot_be_done(body)
    document = document_of(services.library, body.model)
    question, history = conversation(body.messages)
    usage = count_tokens()
    events = services.questions.stream(question, [document.id] if document else None, history)
    reply = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": body.model}
    if body.stream:
        with_usage = bool(body.stream_options and body.stream_options.include_usage)
        return sse.response(_stream(events, reply, usage if with_usage else None))
    answer = await unless_disconnected(request, final(events))
    message = {"role": "assistant", "content": content(answer), "refusal": None}
    return {
        **reply,
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
        "usage": usage_counts(usage),
        **structured(answer),
    }


async def _stream(
    events: AsyncIterator[Event], reply: dict[str, Any], usage: TokenUsage | None
) -> AsyncIterator[bytes]:
    """Chunks on the wire. What the model writes is held back until it has been checked against the pages:
    a chunk cannot be taken back, and an answer that doesn't hold is replaced."""

    def chunk(delta: dict[str, Any], finish_reason: str | None = None, **more: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason, "logprobs": None}
        return _data({**reply, "object": "chat.completion.chunk", "choices": [choice], **more})

    try:
        yield chunk({"role": "assistant", "content": ""})
        async with aclosing(events) as ended:  # type: ignore[type-var]
            async for event in ended:
                if isinstance(event, Stage):
                    yield chunk({}, pageindex={"stage": event.name, **event.detail})
                if isinstance(event, Answer):
                    for piece in re.findall(r"\s*\S+\s*", content(event)):
                        yield chunk({"content": piece})
                    yield chunk({}, "stop", **structured(event))
        if usage:
            yield _data({**reply, "object": "chat.completion.chunk", "choices": [], "usage": usage_counts(usage)})
    except Exception as error:
        yield _data(error_body(reported(error)))
    yield b"data: [DONE]\n\n"


def _data(value: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n".encode()
