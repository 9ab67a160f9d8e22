"""Okapi BM25 over small postings lists, kept per document and scored over any set of documents.

The libraries for this (rank-bm25, bm25s) bring numpy, 70 MB in the image, and rebuild the whole
corpus for each choice of documents.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

K1, B = 1.2, 0.75  # the usual values; nothing here was tuned to the samples


class Postings:
    """Which texts of one document contain which terms, and how often."""

    def __init__(self, texts: Iterable[Sequence[str]]) -> None:
        self.lengths: list[int] = []
        self.of: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for index, text in enumerate(texts):
            self.lengths.append(len(text))
            for term, count in Counter(text).items():
                self.of[term].append((index, count))


def idf(term: str, corpora: Sequence[Postings]) -> float:
    """How telling a term is over all texts; never negative."""
    total = sum(len(corpus.lengths) for corpus in corpora)
    holding = sum(len(corpus.of.get(term, ())) for corpus in corpora)
    return math.log(1 + (total - holding + 0.5) / (holding + 0.5))


def scores(query: Iterable[str], corpora: Sequence[Postings]) -> list[tuple[float, int, int]]:
    """(score, corpus, text) of every text that shares a term with the query, best first."""
    total = sum(len(corpus.lengths) for corpus in corpora)
    mean_length = sum(sum(corpus.lengths) for corpus in corpora) / total if total else 0.0
    found: dict[tuple[int, int], float] = defaultdict(float)
    for term in sorted(set(query)):
        weight = idf(term, corpora)
        for corpus_index, corpus in enumerate(corpora):
            for text_index, count in corpus.of.get(term, ()):
                length = corpus.lengths[text_index] / (mean_length or 1)
                gain = count * (K1 + 1) / (count + K1 * (1 - B + B * length))
                found[corpus_index, text_index] += weight * gain
    # Ties keep the order of the documents, so that the same question gets the same answer.
    return sorted(((score, *where) for where, score in found.items()), key=lambda hit: (-hit[0], hit[1], hit[2]))
