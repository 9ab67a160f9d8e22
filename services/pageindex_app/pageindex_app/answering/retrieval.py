"""Which passages answer a question: the model's choice from the tree and BM25, fused.

Three rankings of pages are made: BM25 over passages, BM25 over the tree's titles and summaries, and
the sections that the model picks from the tree by structured output. Reciprocal rank fusion joins
them: it needs no scores that compare, and a page that several rankings name comes first.
"""

import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from ..base.settings import Settings
from ..model.client import ModelClient, PromptTooLong
from ..search import bm25, text
from ..search.document_index import DocumentIndex, Passage, Section

log = logging.getLogger(__name__)

RRF_K = 60  # from the paper that introduced the fusion (Cormack 2009); flat enough to need no tuning
MODEL_WEIGHT = 0.5  # a small model often picks at random; its vote adds pages but does not overrule both word rankings
WORTH = 0.5  # of the best score; a page that scores less shares only common words with the question and is left out
PAGES_READ = 4  # pages whose passages compete for the context
SECTIONS_CHOSEN = 3  # sections the model may pick
PAGES_PER_SECTION = 3  # of a long section, the pages that match the question best
SUMMARY_CHARS = 160  # of a section's summary, in the outline shown to the model

Page = tuple[int, int]  # (which of the documents, page number)


@dataclass(frozen=True)
class Hit:
    """A passage worth reading."""

    document: DocumentIndex
    passage: Passage
    score: float


@dataclass(frozen=True)
class Retrieval:
    """What was found: passages best first, the pages they were taken from, best first, and which the model chose."""

    hits: list[Hit]
    pages: list[tuple[DocumentIndex, int]]
    chosen: frozenset[tuple[str, int]] = frozenset()  # (document's id, page number)


@dataclass(frozen=True)
class Rankings:
    """Which rankings are used; evaluate.py measures them one by one."""

    model: bool = True
    passages: bool = True
    sections: bool = True


ALL_RANKINGS = Rankings()


def fuse(rankings: Sequence[tuple[float, Sequence[Page]]]) -> list[Page]:
    """Reciprocal rank fusion of weighted rankings; ties go to the ranking that is named first."""
    points: dict[Page, float] = defaultdict(float)
    for weight, ranking in rankings:
        for rank, page in enumerate(dict.fromkeys(ranking), 1):
            points[page] += weight / (RRF_K + rank)
    return sorted(points, key=lambda page: -points[page])


async def retrieve(
    question: str,
    documents: Sequence[DocumentIndex],
    model: ModelClient,
    settings: Settings,
    used: Rankings = ALL_RANKINGS,
) -> Retrieval:
    """The passages to answer from, best first, never more than fit the context."""
    query = text.terms(question)
    found = bm25.scores(query, [document.passage_postings for document in documents])
    best: dict[Page, float] = {}
    for score, which, number in found:
        best.setdefault((which, documents[which].passages[number].page), score)
    by_title = bm25.scores(query, [document.section_postings for document in documents])
    titled = [(which, documents[which].sections[number]) for _, which, number in by_title[:10]]
    rankings: list[tuple[float, list[Page]]] = []
    if used.passages:
        rankings.append((1.0, [page for page, score in best.items() if score >= WORTH * found[0][0]][:10]))
    if used.sections:
        worth = [item for item, hit in zip(titled, by_title, strict=False) if hit[0] >= WORTH * by_title[0][0]]
        rankings.append((1.0, _pages_of(worth, best)))
    chosen: list[Page] = []
    if used.model:
        chosen = _pages_of(await _chosen_by_model(question, documents, titled, model, settings), best)
        rankings.append((MODEL_WEIGHT, chosen))
    pages = fuse(rankings)[:PAGES_READ]
    return Retrieval(
        _hits(documents, pages, found),
        [(documents[which], page) for which, page in pages],
        frozenset((documents[which].document_id, page) for which, page in chosen),
    )


def _pages_of(sections: Sequence[tuple[int, Section]], best: dict[Page, float]) -> list[Page]:
    """The sections' pages in order; of a long section those that match the question, or its first."""
    out: list[Page] = []
    for which, section in sections:
        pages = [(which, page) for page in range(section.start_page, section.end_page + 1)]
        if len(pages) > PAGES_PER_SECTION:
            pages = sorted(pages, key=lambda page: -best.get(page, 0.0))[:PAGES_PER_SECTION]
        out += pages
    return out


def _hits(
    documents: Sequence[DocumentIndex], pages: Sequence[Page], found: Sequence[tuple[float, int, int]]
) -> list[Hit]:
    """Passages of the pages, those that match the question first, then the rest in reading order."""
    wanted = set(pages)
    hits, seen = [], set()
    for score, which, number in found:
        passage = documents[which].passages[number]
        if (which, passage.page) in wanted:
            hits.append(Hit(documents[which], passage, score))
            seen.add((which, number))
    for which, page in pages:
        for number, passage in enumerate(documents[which].passages):
            if passage.page == page and (which, number) not in seen:
                hits.append(Hit(documents[which], passage, 0.0))
    return hits


async def _chosen_by_model(
    question: str,
    documents: Sequence[DocumentIndex],
    titled: Sequence[tuple[int, Section]],
    model: ModelClient,
    settings: Settings,
) -> list[tuple[int, Section]]:
    """Let the model read the outline and pick; an outline too long for it is cut to what matches best."""
    sections = [(which, section) for which, document in enumerate(documents) for section in document.sections]
    if len(sections) < 2:
        return []
    room = settings.outline_chars
    for _ in range(3):
        shown = _within(sections, titled, len(documents) > 1, documents, room)
        outline = "\n".join(f"{label}: {line}" for label, (_, _, line) in shown.items())
        prompt = (
            "Here are the sections of a document, each with its number.\n\n"
            f"{outline}\n\nQuestion: {question}\n"
            "Which sections contain the answer? Reply with their numbers, the best first."
        )
        try:
            labels = await model.choose(prompt, list(shown), SECTIONS_CHOSEN)
        except PromptTooLong:
            room //= 2
            continue
        return [(shown[label][0], shown[label][1]) for label in labels]
    log.warning("the outline does not fit the model's window; sections were ranked by words alone")
    return []


def _within(
    sections: Sequence[tuple[int, Section]],
    titled: Sequence[tuple[int, Section]],
    several: bool,
    documents: Sequence[DocumentIndex],
    room: int,
) -> dict[str, tuple[int, Section, str]]:
    """Sections by label, in reading order, as many as fit: the matching ones first, then from the top."""

    def line(which: int, section: Section) -> str:
        name = f"{documents[which].name}: " if several else ""
        return f"{name}{section.title}. {section.summary[:SUMMARY_CHARS]}".strip()

    by_depth = sorted(sections, key=lambda item: len(item[1].path))
    kept: set[tuple[int, str]] = set()
    for which, section in dict.fromkeys([*titled, *by_depth]):
        room -= len(line(which, section)) + 6
        if room < 0 and len(kept) > 1:
            break
        kept.add((which, section.node_id))
    listed = [(which, section) for which, section in sections if (which, section.node_id) in kept]
    return {str(number): (which, section, line(which, section)) for number, (which, section) in enumerate(listed, 1)}
