"""Okapi BM25 over small postings lists, kept per document and scored over any set of documents.

The libraries for this (rank-bm25, bm25s) bring numpy, 70 MB in the image, and rebuild the whole
corpus for each choice of documents.
"""

import math
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

K1, B = 1.2, 0.75  # the usual values; nothing here was tuned to the samples
# A word that begins like the query's counts too, for less: stems keep weigh and weight apart.
PREFIX_SHARE, PREFIX_CHARS, PREFIX_TAIL = 0.5, 5, 3


class Postings:
    """Which texts of one document contain which terms, and how often."""

    def __init__(self, texts: Iterable[Sequence[str]]) -> None:
        self.lengths: list[int] = []
        self.of: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for index, text in enumerate(texts):
            self.lengths.append(len(text))
            for term, count in Counter(text).items():
                self.of[term].append((index, count))
        self._sorted = sorted(self.of)

    def beginning_with(self, term: str) -> Iterator[str]:
        """Other terms that are ``term`` and a few letters more."""
        for other in self._sorted[bisect_left(self._sorted, term) :]:
            if not other.startswith(term):
                return
            if begins(other, term):
                yield other


def begins(other: str, term: str) -> bool:
    """Whether ``other`` is ``term`` and a few letters more."""
    if len(term) < PREFIX_CHARS or term[0].isdigit():
        return False
    return other.startswith(term) and 0 < len(other) - len(term) <= PREFIX_TAIL


def idf(term: str, corpora: Sequence[Postings], elsewhere: int = 0) -> float:
    """How rare a term is among all texts and ``elsewhere`` more that do not have it; never negative."""
    total = sum(len(corpus.lengths) for corpus in corpora) + elsewhere
    holding = sum(len(corpus.of.get(term, ())) for corpus in corpora)
    return math.log(1 + (total - holding + 0.5) / (holding + 0.5))


def scores(query: Iterable[str], corpora: Sequence[Postings]) -> list[tuple[float, int, int]]:
    """(score, corpus, text) of every text that shares a term with the query, best first."""
    total = sum(len(corpus.lengths) for corpus in corpora)
    mean_length = sum(sum(corpus.lengths) for corpus in corpora) / total if total else 0.0
    found: dict[tuple[int, int], float] = defaultdict(float)
    asked = dict.fromkeys(query, 1.0)
    for term in list(asked):
        for corpus in corpora:
            for other in corpus.beginning_with(term):
                asked.setdefault(other, PREFIX_SHARE)
    for term in sorted(asked):
        weight = asked[term] * idf(term, corpora)
        for corpus_index, corpus in enumerate(corpora):
            for text_index, count in corpus.of.get(term, ()):
                length = corpus.lengths[text_index] / (mean_length or 1)
                gain = count * (K1 + 1) / (count + K1 * (1 - B + B * length))
                found[corpus_index, text_index] += weight * gain
    # Ties keep the order of the documents, so that the same question gets the same answer.
    return sorted(((score, *where) for where, score in found.items()), key=lambda hit: (-hit[0], hit[1], hit[2]))
