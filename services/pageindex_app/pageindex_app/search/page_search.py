"""Search for pages by words: no model is asked."""

from collections.abc import Sequence

from pydantic import BaseModel

from . import bm25, text
from .document_index import DocumentIndex

SNIPPET_CHARS = 240


class SearchHit(BaseModel):
    """A page that matches."""

    document_id: str
    document: str
    page: int
    section: list[str]
    snippet: str


def search_pages(query: str, indexes: Sequence[DocumentIndex], limit: int = 10) -> list[SearchHit]:
    """BM25 over the documents' passages: best first, one hit a page."""
    hits: dict[tuple[int, int], SearchHit] = {}
    for _, which, number in bm25.scores(text.terms(query), [index.passage_postings for index in indexes]):
        index, passage = indexes[which], indexes[which].passages[number]
        if (which, passage.page) in hits:
            continue
        hits[which, passage.page] = SearchHit(
            document_id=index.document_id,
            document=index.name,
            page=passage.page,
            section=index.section_path(passage.page, passage.heading),
            snippet=_snippet(passage.text, query),
        )
        if len(hits) == limit:
            break
    return list(hits.values())


def _snippet(passage: str, query: str) -> str:
    """The part of the passage that has most of the query's words."""
    asked = set(text.terms(query))
    lines = [text.squeeze(line) for line in passage.splitlines()]
    best = max(range(len(lines)), key=lambda number: len(asked & set(text.terms(lines[number]))), default=0)
    snippet = " ".join(lines[best:])
    return snippet if len(snippet) <= SNIPPET_CHARS else snippet[:SNIPPET_CHARS].rsplit(" ", 1)[0] + " …"
