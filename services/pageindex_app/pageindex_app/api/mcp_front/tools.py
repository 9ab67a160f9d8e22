"""The tools of the MCP server, and what they take."""

import asyncio
import re
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from typing import Annotated, Any

from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import Field

from ...answering.questions import Question
from ...answering.strategy import Answer, Stage
from ...base.errors import AppError
from ...documents.document import Document
from ...search.page_search import SearchHit, search_pages
from ...services import Services
from .replies import (
    REPLY_CHARS,
    Asked,
    DocumentEntry,
    DocumentList,
    Page,
    PageContent,
    SearchHits,
    Structure,
    entry,
    in_parts,
    outline,
)

PAGES = re.compile(r"\d+(-\d+)?(,\s*\d+(-\d+)?)*")
DocName = Annotated[str, Field(min_length=1, max_length=400, description="A document's name or id, copied verbatim.")]
DocNames = Annotated[list[DocName] | None, Field(max_length=1000, description="Only these documents; default: all.")]
Pages = Annotated[
    str, Field(pattern=rf"^{PAGES.pattern}$", max_length=400, description='Such as "5", "3,7,10" or "1-3,7".')
]
Limit = Annotated[int, Field(ge=1, le=50, description="Most entries in the reply.")]


class Tools:
    """Each method is a tool: its docstring is what a model reads of it."""

    def __init__(self, services: Services) -> None:
        self._library = services.library
        self._questions = services.questions

    async def browse_documents(
        self, offset: Annotated[int, Field(ge=0, description="next_offset of the reply before.")] = 0, limit: Limit = 10
    ) -> DocumentList:
        """List the documents, newest first, with names and descriptions: the first choice for any question
        that needs a document. Continue with offset = next_offset until that is null."""
        documents = self._library.all()
        end = offset + limit
        return DocumentList(
            documents=[entry(document) for document in documents[offset:end]],
            total=len(documents),
            next_offset=end if end < len(documents) else None,
        )

    async def get_document(self, doc_name: DocName) -> DocumentEntry:
        """A document's status, page count and description. It can be read when its status is "completed"."""
        return entry(self._named(doc_name))

    async def get_document_structure(
        self, doc_name: DocName, part: Annotated[int, Field(ge=1, description="Of a large outline.")] = 1
    ) -> Structure:
        """A document's outline: sections with their pages and summaries. Call this first for documents of more
        than 20 pages, then read the pages that matter. Large outlines have several parts."""
        document = self._readable(doc_name)
        with _explained():
            tree = await asyncio.to_thread(self._library.tree, document)
        parts = list(in_parts([outline(node) for node in tree])) or [[]]
        if part > len(parts):
            raise ToolError(f"The outline of {document.name!r} has {len(parts)} part(s); there is no part {part}.")
        return Structure(doc_name=document.name, structure=parts[part - 1], part=part, total_parts=len(parts))

    async def get_page_content(self, doc_name: DocName, pages: Pages) -> PageContent:
        """The text of some pages. Ask for few pages at a time, never for a whole document."""
        document = self._readable(doc_name)
        with _explained():
            index = await asyncio.to_thread(self._library.index, document)
        wanted = _page_numbers(pages, len(index.pages), document.name)
        content: list[Page] = []
        left_out: list[int] = []
        room = REPLY_CHARS
        for number in wanted:
            text = index.page_text(number)
            if content and len(text) > room:
                left_out.append(number)
                continue
            content.append(Page(page=number, text=text[:REPLY_CHARS]))
            room -= len(text)
        return PageContent(doc_name=document.name, total_pages=len(index.pages), content=content, left_out=left_out)

    async def search_documents(self, query: Question, doc_names: DocNames = None, limit: Limit = 10) -> SearchHits:
        """Pages that contain the query's words, best first, with a snippet each. No model is asked."""
        documents = [self._readable(name) for name in doc_names] if doc_names else self._library.ready()
        with _explained():
            return SearchHits(hits=await asyncio.to_thread(self._search, query, documents, limit))

    async def ask(self, question: Question, ctx: Context[Any, Any], doc_names: DocNames = None) -> Asked:
        """Answer a question from the documents alone, with the quotes it rests on. support is "supported" when a
        quoted page bears the words out, "quoted" when the answer is itself a quote, "none" when nothing was found."""
        documents = [self._readable(name).id for name in doc_names] if doc_names else None
        step = 0
        with _explained():
            async with aclosing(self._questions.stream(question, documents)) as events:  # type: ignore[type-var]
                async for event in events:
                    if isinstance(event, Stage):
                        step += 1
                        await ctx.report_progress(step, message=event.name.replace("_", " "))
                    if isinstance(event, Answer):
                        return Asked(answer=event.answer, support=event.support, citations=event.citations)
        raise ToolError("There is no answer.")

    def _search(self, query: str, documents: list[Document], limit: int) -> list[SearchHit]:
        return search_pages(query, [self._library.index(document) for document in documents], limit)

    def _named(self, doc_name: str) -> Document:
        documents = self._library.all()
        for document in documents:
            if doc_name in (document.name, document.id):
                return document
        raise ToolError(f"There is no document {doc_name!r}. browse_documents lists the {len(documents)} there are.")

    def _readable(self, doc_name: str) -> Document:
        document = self._named(doc_name)
        if not document.readable:
            what = (document.error or {}).get("message") or "it is not indexed yet; get_document says when it is"
            raise ToolError(f"{document.name!r} cannot be read: {what}")
        return document


def _page_numbers(pages: str, last: int, name: str) -> list[int]:
    """The pages of "1-3,7", once each, in the order in which they are named."""
    numbers: dict[int, None] = {}
    for piece in pages.split(","):
        first, _, end = piece.strip().partition("-")
        start, stop = int(first), int(end or first)
        if not 1 <= start <= stop <= last:
            raise ToolError(f"{name!r} has pages 1 to {last}; {piece.strip()!r} is not among them.")
        numbers |= dict.fromkeys(range(start, stop + 1))
    return list(numbers)


@contextmanager
def _explained() -> Iterator[None]:
    """Turns the app's refusals into errors of a tool, which the model reads."""
    try:
        yield
    except AppError as error:
        raise ToolError(f"{error.message} {error.hint}".strip()) from error
