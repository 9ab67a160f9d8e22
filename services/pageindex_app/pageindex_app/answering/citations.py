"""Citations: every quoted word stands on the page that the citation names."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pydantic import BaseModel

from ..search import bm25, text
from ..search.document_index import DocumentIndex, Passage

QUOTE_CHARS = 300
CITATIONS_MOST = 3
# Share of a question's weight that the words of a passage must have to be about it. By words alone "How heavy must the
# anchor be?" has 0.44, the lowest of the 28 tuned questions; of 20 that the samples don't answer 17 have less than 0.4,
# as have 150 of 160 when each of the eight samples is asked alone. On a page that the model chose, synonyms may stand.
ABOUT, ABOUT_IF_CHOSEN = 0.4, 0.3
OTHER_PASSAGES = 50  # added to the count, so that rare words weigh more in a short text too
_ASKS_FOR_A_NUMBER = re.compile(
    r"\bhow (?:many|much|old|long|deep|high|heavy|large|big|far|wide|often|tall|fast)\b"
    r"|\bwhen\b|\bwhat (?:year|date|percentage)\b",
    re.IGNORECASE,
)


class Citation(BaseModel):
    """What an answer rests on: a page, and words that stand on it."""

    document_id: str
    document: str
    pages: list[int]
    section: list[str]
    quote: str


@dataclass(frozen=True)
class Sentence:
    """A sentence that may support an answer."""

    document: DocumentIndex
    passage: Passage
    text: str
    rank: int  # of its passage: earlier ones were the better match


def candidates(passages: Sequence[tuple[DocumentIndex, Passage]]) -> list[Sentence]:
    """The passages' sentences and rows of tables."""
    return [
        Sentence(document, passage, line, rank)
        for rank, (document, passage) in enumerate(passages)
        for line in passage.text.splitlines()
    ]


def about(
    question: str,
    passages: Sequence[tuple[DocumentIndex, Passage]],
    documents: Sequence[DocumentIndex],
    chosen: frozenset[tuple[str, int]],
) -> list[tuple[DocumentIndex, Passage]]:
    """Those of ``passages`` that have enough of the question's words; rare words count more than common ones.

    ``chosen`` are pages that the model chose, as (document's id, page number): there fewer words are enough.
    """
    corpora = [document.passage_postings for document in documents]
    asked = {term: bm25.idf(term, corpora, OTHER_PASSAGES) for term in text.terms(question)}
    total, kept = sum(asked.values()), []
    for document, passage in passages:
        words = set(text.terms(f"{passage.heading or ''} {passage.text}"))
        had = sum(
            weight for term, weight in asked.items()
            if term in words or any(bm25.begins(word, term) for word in words)
        )  # fmt: skip
        wanted = ABOUT_IF_CHOSEN if (document.document_id, passage.page) in chosen else ABOUT
        if had >= wanted * total:
            kept.append((document, passage))
    return kept


class Evidence:
    """Weighs sentences against a question; rare words count more than common ones."""

    def __init__(self, question: str, sentences: Sequence[Sentence], documents: Sequence[DocumentIndex]) -> None:
        self._sentences = sentences
        self._corpora = [document.passage_postings for document in documents]
        self._asked = set(text.terms(question))
        self._wants_number = bool(_ASKS_FOR_A_NUMBER.search(question))
        self._relevance = [self._weight(self._asked & _around(sentence)) for sentence in sentences]

    def _weight(self, terms: Iterable[str]) -> float:
        return sum(bm25.idf(term, self._corpora) for term in terms)

    def bearing(self, answer: str) -> list[Sentence]:
        """The sentences that support the answer, each on its own, best first.

        Compared are the answer's words that the question has not. All its numbers must stand in one sentence, and
        with them at least half the weight of its other words.
        """
        if not answer.strip():
            return []
        told = set(text.terms(answer)) - self._asked
        numbers = {term for term in told if term[0].isdigit()}
        total = self._weight(told)
        ranked: list[tuple[float, int]] = []
        for order, sentence in enumerate(self._sentences):
            words = set(text.terms(sentence.text))
            if not numbers <= words or not (told or self._asked) & words:
                continue
            gain = self._weight(told & _around(sentence))
            if gain >= 0.5 * total:
                ranked.append((-gain - 0.5 * self._relevance[order], order))
        return [self._sentences[order] for _, order in sorted(ranked)]

    def convincing(self, answer: str, bearing: Sequence[Sentence]) -> bool:
        """Whether the answer fits the question: its sentence is about it, and it has a number if one was asked for."""
        if not bearing:
            return False
        if self._wants_number and not any(char.isdigit() for char in answer):
            return False
        return self._relevance[self._sentences.index(bearing[0])] >= 0.5 * max(self._relevance)

    def best_match(self) -> Sentence | None:
        """The sentence that shares most with the question, or None if none shares anything."""
        best, best_gain = None, 0.0
        for sentence, relevance in zip(self._sentences, self._relevance, strict=True):
            gain = relevance / (1 + 0.1 * sentence.rank)
            if self._wants_number and any(char.isdigit() for char in sentence.text):
                gain *= 1.5
            if gain > best_gain:
                best, best_gain = sentence, gain
        return best


def _around(sentence: Sentence) -> set[str]:
    """The sentence's words and those of the heading it stands under."""
    return set(text.terms(f"{sentence.passage.heading or ''} {sentence.text}"))


@dataclass(frozen=True)
class Held:
    """The citations that passed the check, and how many did not."""

    citations: list[Citation]
    dropped: int


def cite(sentences: Sequence[Sentence]) -> Held:
    """One citation a page, best first; a quote that does not stand on its page is dropped and counted."""
    out: dict[tuple[str, int], Citation] = {}
    dropped = 0
    for sentence in sentences:
        document, page = sentence.document, sentence.passage.page
        quote = _shortened(sentence.text)
        if (document.document_id, page) in out:
            continue
        if not text.occurs(quote, document.page_text(page)):
            dropped += 1
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
    return Held(list(out.values()), dropped)


def _shortened(quote: str) -> str:
    quote = text.squeeze(quote)
    return quote if len(quote) <= QUOTE_CHARS else quote[:QUOTE_CHARS].rsplit(" ", 1)[0]
