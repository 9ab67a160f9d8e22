"""Quotes that hold: every citation's words stand on the page it names."""

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel

from . import bm25, text
from .search import DocumentIndex, Passage

QUOTE_CHARS = 300
CITATIONS_MOST = 3


class Citation(BaseModel):
    """Where an answer rests: a page, and words that stand on it."""

    document_id: str
    document: str
    pages: list[int]
    section: list[str]
    quote: str


@dataclass(frozen=True)
class Sentence:
    """A sentence that may bear an answer out."""

    document: DocumentIndex
    passage: Passage
    text: str
    rank: int  # of its passage: earlier ones were the better match


def candidates(passages: Sequence[tuple[DocumentIndex, Passage]]) -> list[Sentence]:
    """Sentences of the passages; lines of a table stay together, since a figure alone says nothing."""
    out: list[Sentence] = []
    for rank, (document, passage) in enumerate(passages):
        rows: list[str] = []
        for line in [*passage.text.splitlines(), ""]:
            if line and not line.endswith((".", "!", "?")) and len(line) < 60:
                rows.append(line)
                continue
            out += [Sentence(document, passage, row, rank) for row in _windows(rows)]
            rows = []
            if line:
                out.append(Sentence(document, passage, line, rank))
    return out


def _windows(rows: list[str]) -> list[str]:
    """Neighbouring table cells, two at a time: a label and its figure."""
    if rows and rows[0].startswith("|"):
        return rows
    return [f"{first} {second}" for first, second in zip(rows, rows[1:], strict=False)] or rows


def support(
    answer: str, question: str, sentences: Sequence[Sentence], documents: Sequence[DocumentIndex]
) -> list[Sentence]:
    """The sentences that the answer rests on, best first; none if they do not bear it out.

    An answer says something new if it has words that the question has not. Its numbers must all be
    found in one sentence, and at least half the weight of its other words with them.
    """
    asked = set(text.terms(question))
    told = [term for term in dict.fromkeys(text.terms(answer)) if term not in asked]
    numbers = {term for term in told if term[0].isdigit()}
    corpora = [document.passage_postings for document in documents]
    weights = {term: bm25.idf(term, corpora) for term in {*told, *asked}}
    total = sum(weights[term] for term in told)
    ranked: list[tuple[float, int, Sentence]] = []
    for order, sentence in enumerate(sentences):
        here = set(text.terms(f"{sentence.passage.heading or ''} {sentence.text}"))
        words = set(text.terms(sentence.text))
        if told:
            if not numbers <= words or not any(term in words for term in told):
                continue
            gain = sum(weights[term] for term in told if term in here)
            if gain < 0.5 * total:
                continue
        else:
            gain = 0.0
            if not asked & words:
                continue
        gain += 0.5 * sum(weights[term] for term in asked if term in here)
        ranked.append((-gain, order, sentence))
    ranked.sort(key=lambda item: item[:2])
    return [sentence for _, _, sentence in ranked]


def best_match(question: str, sentences: Sequence[Sentence], documents: Sequence[DocumentIndex]) -> Sentence | None:
    """The sentence that shares most with the question, or None if none shares anything."""
    asked = set(text.terms(question))
    corpora = [document.passage_postings for document in documents]
    best, best_gain = None, 0.0
    for sentence in sentences:
        here = set(text.terms(f"{sentence.passage.heading or ''} {sentence.text}"))
        gain = sum(bm25.idf(term, corpora) for term in asked & here) / (1 + 0.1 * sentence.rank)
        if gain > best_gain:
            best, best_gain = sentence, gain
    return best


def cite(sentences: Sequence[Sentence]) -> list[Citation]:
    """One citation a page, best first; a quote that does not stand on its page is dropped."""
    out: dict[tuple[str, int], Citation] = {}
    for sentence in sentences:
        document, page = sentence.document, sentence.passage.page
        quote = _shortened(sentence.text)
        if (document.document_id, page) in out or not text.occurs(quote, document.page_text(page)):
            continue
        out[document.document_id, page] = Citation(
            document_id=document.document_id,
            document=document.name,
            pages=[page],
            section=document.section_path(page, sentence.passage.heading),
            quote=quote,
        )
        if len(out) == CITATIONS_MOST:
            break
    return list(out.values())


def _shortened(quote: str) -> str:
    quote = text.squeeze(quote)
    return quote if len(quote) <= QUOTE_CHARS else quote[:QUOTE_CHARS].rsplit(" ", 1)[0]
