"""A document prepared for questions: its passages and sections, each with its page."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from . import text
from .bm25 import Postings

# A passage is what BM25 ranks and what the model gets to read: a section, or a part of a long one.
PASSAGE_WORDS = 90


@dataclass(frozen=True)
class Section:
    """A node of PageIndex's tree, or one of the headings that PageIndex merged into a node."""

    node_id: str
    path: tuple[str, ...]
    start_page: int
    end_page: int
    summary: str
    headings: tuple[str, ...]

    @property
    def title(self) -> str:
        """The node's headings; for merged nodes the original ones, since the model may have rewritten the title."""
        return "; ".join(self.headings)


@dataclass(frozen=True)
class Passage:
    """Some sentences of one page under one heading."""

    page: int
    heading: str | None
    text: str


def _walk(tree: list[dict[str, Any]], path: tuple[str, ...]) -> Iterator[Section]:
    for node in tree:
        title = node.get("title") or ""
        # Merged siblings come as "A; B" items beside the single ones.
        items = [item for item in node.get("key_items") or [] if "; " not in item]
        yield Section(
            node_id=str(node.get("node_id", "")),
            path=(*path, title),
            start_page=int(node["start_index"]),
            end_page=int(node["end_index"]),
            summary=text.squeeze(str(node.get("summary") or "")),
            headings=tuple(items) or (title,),
        )
        yield from _walk(node.get("nodes") or [], (*path, title))


class DocumentIndex:
    """Everything that answering needs of one document."""

    def __init__(self, document_id: str, name: str, pages: list[str], tree: list[dict[str, Any]]) -> None:
        self.document_id = document_id
        self.name = name
        self.pages = pages
        self.tree = tree
        self.sections = list(_walk(tree, ()))

    def page_text(self, page: int) -> str:
        return self.pages[page - 1] if 1 <= page <= len(self.pages) else ""

    def sections_on(self, page: int) -> list[Section]:
        return [section for section in self.sections if section.start_page <= page <= section.end_page]

    def headings_on(self, page: int) -> list[str]:
        """Headings that may stand on this page."""
        found: list[str] = []
        for section in self.sections_on(page):
            found += [section.path[-1], *section.headings]
        return found

    def section_path(self, page: int, heading: str | None) -> list[str]:
        """Titles from the root down to what stands at ``heading`` on ``page``."""
        here = self.sections_on(page)
        if heading is not None:
            for section in here:
                if heading == section.path[-1]:
                    return list(section.path)
                if heading in section.headings:
                    joined = section.path[-1] == "; ".join(section.headings)  # no heading of the document
                    return [*(section.path[:-1] if joined else section.path), heading]
        # Text that continues from the page before belongs to the deepest section that began there.
        earlier = [section for section in here if section.start_page < page] or here
        return list(max(earlier, key=lambda section: len(section.path)).path) if earlier else []

    @cached_property
    def passages(self) -> list[Passage]:
        return [passage for page in range(1, len(self.pages) + 1) for passage in self._passages_of(page)]

    def _passages_of(self, page: int) -> Iterator[Passage]:
        for block in text.blocks(self.page_text(page), self.headings_on(page)):
            part: list[str] = []
            words = 0
            for line in _pieces(block.text):
                count = len(line.split())
                if part and words + count > PASSAGE_WORDS:
                    yield Passage(page, block.heading, "\n".join(part))
                    part, words = [], 0
                part.append(line)
                words += count
            # A heading alone says nothing, and neither does the page's own number.
            if part and part != [str(page)]:
                yield Passage(page, block.heading, "\n".join(part))

    @cached_property
    def passage_postings(self) -> Postings:
        """A passage is also found by the titles above it."""
        return Postings(text.terms(" ".join([*self.section_path(p.page, p.heading), p.text])) for p in self.passages)

    @cached_property
    def section_postings(self) -> Postings:
        return Postings(text.terms(" ".join([*s.path, *s.headings, s.summary])) for s in self.sections)


def _pieces(block: str) -> Iterator[str]:
    """Sentences of running text, and rows of tables."""
    lines = [line.strip() for line in block.splitlines()]
    longest = max(map(len, lines), default=0)
    running: list[str] = []
    row = ""
    for line in [*lines, ""]:
        # The last line of a paragraph is short too, but it ends with a full stop or continues a long one.
        short = len(line) < 0.4 * max(longest, 60) and not line.endswith((".", "!", "?", ":"))
        tabular = line.startswith("|") or (short and not running)
        if line and not tabular:
            if row:
                yield row
                row = ""
            running.append(line)
            if line.endswith((".", "!", "?", ":")):
                yield from text.sentences(" ".join(running))
                running = []
            continue
        if running:
            yield from text.sentences(" ".join(running))
            running = []
        # PDFs give each cell a line of its own; a figure belongs to the label before it.
        if row and line and not any(char.isalpha() for char in line) and not line.startswith("|"):
            row = f"{row} {line}"
            continue
        if row:
            yield row
        row = line
