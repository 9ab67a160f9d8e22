"""Markdown and plain text as PageIndex documents: chapters become pages, headings the tree."""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from pageindex.page_index_md import build_tree_from_nodes, extract_node_text_content, extract_nodes_from_markdown

# A page of print holds about 3,000 characters; a longer chapter is cut so that a citation still points somewhere.
PAGE_CHARS = 3000


@dataclass
class Outline:
    """Pages of text, and PageIndex's tree over them (title, node_id, start_index, end_index, nodes)."""

    pages: list[str]
    tree: list[dict[str, Any]] = field(default_factory=list)


def _cut(lines: list[str], first_line: int) -> list[tuple[int, str]]:
    """Each page as (number of its first line, text); pages are cut at a blank line if one is near."""
    pieces: list[tuple[int, str]] = []
    start, size, blank = 0, 0, 0
    index = 0
    while index < len(lines):
        if size > PAGE_CHARS // 4 and size + len(lines[index]) > PAGE_CHARS:
            at = blank if blank > start and sum(map(len, lines[start:blank])) > PAGE_CHARS // 2 else index
            pieces.append((first_line + start, "\n".join(lines[start:at])))
            start, size = at, sum(len(line) + 1 for line in lines[at:index])
        if not lines[index].strip():
            blank = index
        size += len(lines[index]) + 1
        index += 1
    pieces.append((first_line + start, "\n".join(lines[start:])))
    return [(line, text) for line, text in pieces if text.strip()]


def _wrapped(text: str) -> list[str]:
    """The text's lines; one longer than a page (a whole text without breaks) is broken at a blank."""
    lines: list[str] = []
    for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        while len(line) > PAGE_CHARS:
            at = line.rfind(" ", PAGE_CHARS // 2, PAGE_CHARS)
            at = PAGE_CHARS if at < 0 else at
            lines.append(line[:at])
            line = line[at:]
        lines.append(line)
    return lines


def outline(text: str, title: str) -> Outline:
    """Headings make the tree and chapters the pages; a text without headings is one node a page."""
    found, lines = extract_nodes_from_markdown("\n".join(_wrapped(text)))
    # PageIndex also takes a bold line for a chapter's heading, which a manual's "**Warning**" is not.
    nodes = [node for node in found if lines[node["line_num"] - 1].lstrip().startswith("#")]
    if not nodes:
        pieces = [piece for _, piece in _cut(lines, 1)]
        return Outline(pieces, page_nodes(title, len(pieces)))
    levels = [node["level"] for node in nodes]
    chapter = next((level for level in sorted(set(levels)) if levels.count(level) > 1), min(levels))
    starts = sorted({1} | {node["line_num"] for node in nodes if node["level"] <= chapter})
    # A title directly above the first chapter shares its page: alone it would be a page without content.
    starts = [1, *(start for before, start in pairwise(starts) if _has_text(lines[before - 1 : start - 1]))]
    pages: list[str] = []
    page_of_line: dict[int, int] = {}
    for start, end in zip(starts, [*starts[1:], len(lines) + 1], strict=True):
        for line, piece in _cut(lines[start - 1 : end - 1], start):
            pages.append(piece)
            page_of_line |= dict.fromkeys(range(line, end), len(pages))
    tree = build_tree_from_nodes(extract_node_text_content(nodes, lines))
    _set_pages(tree, page_of_line, len(pages), len(pages))
    if tree[0]["start_index"] > 1:
        tree.insert(0, _node(title, 1, tree[0]["start_index"] - 1))
    return Outline(pages, _numbered(tree))


def _has_text(lines: list[str]) -> bool:
    return any(line.strip() and not line.lstrip().startswith("#") for line in lines)


def page_nodes(title: str, pages: int) -> list[dict[str, Any]]:
    """The tree of a text without headings: one node a page."""
    return _numbered([_node(f"{title}, page {number}", number, number) for number in range(1, pages + 1)])


def _node(title: str, start: int, end: int) -> dict[str, Any]:
    return {"title": title, "start_index": start, "end_index": end}


def _set_pages(nodes: list[dict[str, Any]], page_of_line: dict[int, int], last: int, page_count: int) -> None:
    """Turn line numbers into page ranges; a node ends where the next one on its level begins."""
    for index, node in enumerate(nodes):
        start = page_of_line.get(node.pop("line_num"), page_count)
        node["start_index"] = start
        node.pop("text", None)
        end = last
        if index + 1 < len(nodes):
            following = page_of_line.get(nodes[index + 1]["line_num"], page_count)
            end = following if following == start else following - 1
        node["end_index"] = max(start, end)
        children = node.pop("nodes", [])
        if children:
            _set_pages(children, page_of_line, node["end_index"], page_count)
            node["nodes"] = children


def _numbered(tree: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """PageIndex's node ids: four digits, in reading order."""
    stack, number = list(reversed(tree)), 0
    while stack:
        node = stack.pop()
        node["node_id"] = f"{number:04d}"
        number += 1
        stack.extend(reversed(node.get("nodes", [])))
    return tree
