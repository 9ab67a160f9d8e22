"""An OpenAI-compatible front: chat with all documents, or with one, from any client that speaks to OpenAI."""

import json
import logging
import re
import time
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Any, Literal

from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field

from . import sse, token_usage
from .answering import Answer, Event, Stage, Turn, final
from .citations import Citation
from .dependencies import Parts
from .errors import AppError, unforeseen
from .leaving import unless_left
from .library import Document, Library
from .routes_ask import log_answer
from .token_usage import TokenUsage

log = logging.getLogger(__name__)

ALL_DOCUMENTS = "pageindex"
# No slash: clients put a model's id into a path, and an escaped slash is refused by careful proxies.
ONE_DOCUMENT = f"{ALL_DOCUMENTS}:"
QUESTION_CHARS = 4000
TURNS_MOST = 20
_SOURCES = "\n\nSources:\n\n"
_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class OpenAIRoute(APIRoute):
    """Turns errors into the shape that OpenAI's clients read."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                return await handler(request)
            except AppError as error:
                return _respond(error)
            except RequestValidationError as error:
                return _respond(_invalid(error))

        return handle


router = APIRouter(prefix="/v1", tags=["openai"], route_class=OpenAIRoute)


class Message(BaseModel):
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[dict[str, Any]] | None = None


class StreamOptions(BaseModel):
    include_usage: bool = False


class ChatRequest(BaseModel):
    """What changes the answer, and what must be refused because it can't be done. Sampling settings
    (temperature, top_p, seed, max_tokens, stop and the like) are taken and ignored: answers are copied
    from the documents at temperature 0."""

    model: str
    messages: list[Message] = Field(min_length=1, max_length=2000)
    stream: bool = False
    stream_options: StreamOptions | None = None
    n: int | None = None
    tools: list[Any] | None = None
    functions: list[Any] | None = None
    response_format: dict[str, Any] | None = None
    logprobs: bool | None = None


@router.get("/models")
def list_models(parts: Parts) -> dict[str, Any]:
    """`pageindex` asks all documents; each document that is ready is a model too."""
    documents = parts.library.ready()
    return {"object": "list", "data": [_everything(documents), *map(_model, documents)]}


@router.get("/models/{model:path}")
def get_model(parts: Parts, model: str) -> dict[str, Any]:
    document = _document(parts.library, model)
    return _model(document) if document else _everything(parts.library.ready())


@router.post("/chat/completions", response_model=None)
async def chat(parts: Parts, body: ChatRequest, request: Request) -> Response | dict[str, Any]:
    """The last message of the user is the question, what was said before is its context."""
    _refuse_what_cannot_be_done(body)
    document = _document(parts.library, body.model)
    question, history = _conversation(body.messages)
    usage = token_usage.count_from_here()
    started = time.monotonic()
    events = parts.questions.stream(question, [document.id] if document else None, history)
    reply = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": body.model}
    if body.stream:
        with_usage = bool(body.stream_options and body.stream_options.include_usage)
        return sse.response(_stream(events, reply, started, usage if with_usage else None))
    answer = await unless_left(request, final(events))
    log_answer(answer, started)
    message = {"role": "assistant", "content": _content(answer), "refusal": None}
    return {
        **reply,
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
        "usage": _usage(usage),
        **_structured(answer),
    }


async def _stream(
    events: AsyncIterator[Event], reply: dict[str, Any], started: float, usage: TokenUsage | None
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
                    log_answer(event, started)
                    for piece in re.findall(r"\s*\S+\s*", _content(event)):
                        yield chunk({"content": piece})
                    yield chunk({}, "stop", **_structured(event))
        if usage:
            yield _data({**reply, "object": "chat.completion.chunk", "choices": [], "usage": _usage(usage)})
    except AppError as error:
        log.warning("refused", extra={"code": error.code, "status": error.status})
        yield _data(_body(error))
    except Exception:
        log.error("unforeseen error", exc_info=True)
        yield _data(_body(unforeseen()))
    yield b"data: [DONE]\n\n"


def _data(value: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n".encode()


def _everything(documents: Sequence[Document]) -> dict[str, Any]:
    created = max((_epoch_s(document) for document in documents), default=0)
    return _as_model(ALL_DOCUMENTS, "All documents", created)


def _model(document: Document) -> dict[str, Any]:
    return _as_model(f"{ONE_DOCUMENT}{document.id}", document.name, _epoch_s(document))


def _as_model(identity: str, name: str, created: int) -> dict[str, Any]:
    return {"id": identity, "object": "model", "created": created, "owned_by": ALL_DOCUMENTS, "name": name}


def _epoch_s(document: Document) -> int:
    return int(datetime.fromisoformat(document.created_at).timestamp())


def _document(library: Library, model: str) -> Document | None:
    """The document that the model stands for, by its id or its name; None for all."""
    if model == ALL_DOCUMENTS:
        return None
    wanted = model.removeprefix(ONE_DOCUMENT)
    for document in library.ready() if model != wanted else ():
        if wanted in (document.id, document.name):
            return document
    raise AppError(
        404,
        "model_not_found",
        f"The model {model[:200]!r} does not exist.",
        f"GET /v1/models lists {ALL_DOCUMENTS} and one model for each document.",
    )


def _refuse_what_cannot_be_done(body: ChatRequest) -> None:
    wishes = {
        "n": body.n not in (None, 1),
        "tools": bool(body.tools),
        "functions": bool(body.functions),
        "response_format": bool(body.response_format) and (body.response_format or {}).get("type") != "text",
        "logprobs": bool(body.logprobs),
    }
    for name, wished in wishes.items():
        if wished:
            raise _refusal("unsupported_parameter", f"Answers from documents know no {name!r}.", name)


def _conversation(messages: Sequence[Message]) -> tuple[str, list[Turn]]:
    """The question, and the turns before it. Instructions to the model are left out: answers come from
    the documents alone."""
    asked = max((at for at, message in enumerate(messages) if message.role == "user"), default=None)
    if asked is None:
        raise _refusal("no_question", "There is no message of the role 'user'.", "messages")
    question = _text(messages[asked], refuse_others=True)
    if not question:
        raise _refusal("no_question", "The last message of the user is empty.", "messages")
    if len(question) > QUESTION_CHARS:
        raise _refusal("question_too_long", f"A question may have {QUESTION_CHARS} characters.", "messages")
    turns = []
    for message in messages[:asked]:
        text = _text(message).split(_SOURCES)[0]  # clients send our own footnotes back
        if text and message.role == "user":
            turns.append(Turn("user", text[:QUESTION_CHARS]))
        elif text and message.role == "assistant":
            turns.append(Turn("assistant", text[:QUESTION_CHARS]))
    return question, turns[-TURNS_MOST:]


def _text(message: Message, *, refuse_others: bool = False) -> str:
    if not isinstance(message.content, list):
        return (message.content or "").strip()
    others = [part.get("type") for part in message.content if part.get("type") not in ("text", "input_text")]
    if others and refuse_others:
        raise _refusal("unsupported_content", f"Questions are text; {others[0]!r} cannot be read.", "messages")
    return "\n".join(str(part.get("text") or "") for part in message.content if part.get("text")).strip()


def _content(answer: Answer) -> str:
    """The answer, with its sources as numbered footnotes."""
    if not answer.citations:
        return answer.answer
    marks = "".join(f"[{number}]" for number in range(1, len(answer.citations) + 1))
    notes = [f"{number}. {_footnote(citation)}" for number, citation in enumerate(answer.citations, 1)]
    return f"{answer.answer} {marks}{_SOURCES}" + "\n".join(notes)


def _footnote(citation: Citation) -> str:
    pages = f"page{'s' if len(citation.pages) > 1 else ''} {', '.join(map(str, citation.pages))}"
    section = f" ({' › '.join(citation.section)})" if citation.section else ""
    return f"{citation.document}, {pages}{section}: “{citation.quote}”"


def _structured(answer: Answer) -> dict[str, Any]:
    """What programs read instead of the footnotes; OpenAI's clients keep fields that they don't know."""
    citations = [citation.model_dump() for citation in answer.citations]
    return {"citations": citations, "support": answer.support}


def _usage(usage: TokenUsage) -> dict[str, int] | None:
    """None where nothing was counted: the agent's calls are PageIndex's own."""
    if not usage.prompt:
        return None
    total = usage.prompt + usage.completion
    return {"prompt_tokens": usage.prompt, "completion_tokens": usage.completion, "total_tokens": total}


class _Refusal(AppError):
    """Names the field of the request that is wrong, as OpenAI does."""

    param: str | None = None


def _refusal(code: str, message: str, param: str) -> AppError:
    error = _Refusal(400, code, message)
    error.param = param
    return error


def _invalid(error: RequestValidationError) -> AppError:
    # The faulty value stays out: it may be what somebody asked.
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"][1:]))
    return _refusal("invalid_request", f"{where or 'body'}: {first['msg']}.", where)


def _respond(error: AppError) -> JSONResponse:
    log.warning("refused", extra={"code": error.code, "status": error.status})
    return JSONResponse(_body(error), status_code=_status(error), headers=error.headers())


def _status(error: AppError) -> int:
    # OpenAI's clients send what got 409 again; an empty library will not have filled by then.
    return 400 if error.code == "no_documents" else error.status


def _body(error: AppError) -> dict[str, Any]:
    status = _status(error)
    kind = _TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    message = f"{error.message} {error.hint}".strip()
    param = "model" if error.code == "model_not_found" else getattr(error, "param", None)
    return {"error": {"message": message, "type": kind, "param": param, "code": error.code}}
