"""What all ways to an answer share: a question and documents go in, events come out, the answer last."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from pydantic import BaseModel

from ..documents.document import Document
from ..search.document_index import DocumentIndex
from .citations import Citation

Support = Literal["supported", "quoted", "none"]
StageName = Literal["choosing_sections", "reading_pages", "answering"]


class Answer(BaseModel):
    """``support`` says what the answer rests on:

    supported: the cited pages contain the model's words;
    quoted: they do not, so the answer is the passage that matches the question best, word for word;
    none: nothing in the documents answers the question.
    """

    answer: str
    support: Support
    citations: list[Citation]
    mode: Literal["two-step", "agent"]
    conversation_id: str | None = None
    dropped_citations: int = 0  # of those that the model gave, how many no page supports


@dataclass(frozen=True)
class Stage:
    """What is being done now. A repeated "answering" means: forget the tokens so far."""

    name: StageName
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Token:
    """A piece of the answer as the model writes it; the answer that comes last may differ."""

    text: str


Event = Stage | Token | Answer


@dataclass(frozen=True)
class Turn:
    """What was said before in a conversation."""

    role: Literal["user", "assistant"]
    content: str


@dataclass(frozen=True)
class Source:
    """A document to be asked; one given only for this question has no record."""

    index: DocumentIndex
    record: Document | None = None


class Strategy(Protocol):
    """How questions are answered. The last event is the answer; closing the iterator ends the model's work."""

    def stream(
        self, question: str, sources: Sequence[Source], history: Sequence[Turn] = ()
    ) -> AsyncGenerator[Event, None]: ...


async def final(events: AsyncIterator[Event]) -> Answer:
    """The answer at the end of the events."""
    answer: Answer | None = None
    async for event in events:
        if isinstance(event, Answer):
            answer = event
    assert answer is not None, "a strategy ends with an answer"  # noqa: S101
    return answer
