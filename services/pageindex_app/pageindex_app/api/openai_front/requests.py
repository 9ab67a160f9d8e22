"""What an OpenAI client may ask, and the question that is in it."""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, Field

from ...answering.questions import QUESTION_CHARS
from ...answering.strategy import Turn
from .errors import refusal
from .replies import SOURCES

TURNS_MOST = 20


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


def refuse_what_cannot_be_done(body: ChatRequest) -> None:
    wishes = {
        "n": body.n not in (None, 1),
        "tools": bool(body.tools),
        "functions": bool(body.functions),
        "response_format": bool(body.response_format) and (body.response_format or {}).get("type") != "text",
        "logprobs": bool(body.logprobs),
    }
    for name, wished in wishes.items():
        if wished:
            raise refusal("unsupported_parameter", f"Answers from documents know no {name!r}.", name)


def conversation(messages: Sequence[Message]) -> tuple[str, list[Turn]]:
    """The question, and the turns before it. Instructions to the model are left out: answers come from
    the documents alone."""
    asked = max((at for at, message in enumerate(messages) if message.role == "user"), default=None)
    if asked is None:
        raise refusal("no_question", "There is no message of the role 'user'.", "messages")
    question = _text(messages[asked], refuse_others=True)
    if not question:
        raise refusal("no_question", "The last message of the user is empty.", "messages")
    if len(question) > QUESTION_CHARS:
        raise refusal("question_too_long", f"A question may have {QUESTION_CHARS} characters.", "messages")
    turns = []
    for message in messages[:asked]:
        text = _text(message).split(SOURCES)[0]  # clients send our own footnotes back
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
        raise refusal("unsupported_content", f"Questions are text; {others[0]!r} cannot be read.", "messages")
    return "\n".join(str(part.get("text") or "") for part in message.content if part.get("text")).strip()
