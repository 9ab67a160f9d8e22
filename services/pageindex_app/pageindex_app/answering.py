"""The two ways to an answer have one shape: question and documents in, answer with citations out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from pydantic import BaseModel

from .citations import Citation
from .library import Document
from .search import DocumentIndex

Support = Literal["supported", "quoted", "none"]


class Answer(BaseModel):
    """``support`` says what the answer rests on:

    supported: the cited pages bear the model's words out;
    quoted: they did not, so the answer is the passage that matches the question best, word for word;
    none: nothing in the documents answers the question.
    """

    answer: str
    support: Support
    citations: list[Citation]
    mode: Literal["two-step", "agent"]


@dataclass(frozen=True)
class Source:
    """A document to be asked; one given only for this question has no record."""

    index: DocumentIndex
    record: Document | None = None


class Strategy(Protocol):
    """How questions are answered."""

    async def answer(self, question: str, sources: Sequence[Source]) -> Answer: ...
