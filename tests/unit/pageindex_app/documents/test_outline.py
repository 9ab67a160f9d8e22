"""Texts that become pages, and headings that become the tree."""

from itertools import pairwise

import pytest
from pageindex_app.documents.outline import PAGE_CHARS, outline


def test_chapters_of_markdown_become_pages_and_headings_the_tree() -> None:
    made = outline("# Manual\nintro\n## One\na\n### Deep\nb\n## Two\nc\n", "manual")
    assert [page.split("\n")[0] for page in made.pages] == ["# Manual", "## One", "## Two"]
    (root,) = made.tree
    assert [(n["title"], n["start_index"], n["end_index"]) for n in root["nodes"]] == [("One", 2, 2), ("Two", 3, 3)]
    assert root["nodes"][0]["nodes"][0]["title"] == "Deep"
    assert [root["node_id"], root["nodes"][0]["node_id"], root["nodes"][1]["node_id"]] == ["0000", "0001", "0003"]


@pytest.mark.parametrize("content", ["word " * 5000, "line\n" * 5000, "# H\n" + "x" * 20_000, "para\n\n" * 3000])
def test_long_texts_are_cut_into_pages_without_losing_a_word(content: str) -> None:
    made = outline(content, "t")
    assert max(map(len, made.pages)) <= 1.25 * PAGE_CHARS
    assert "".join("".join(made.pages).split()) == "".join(content.split())
    ranges = [(n["start_index"], n["end_index"]) for n in made.tree]
    assert ranges[0][0] == 1
    assert ranges[-1][1] == len(made.pages)
    assert all(before[1] < after[0] for before, after in pairwise(ranges))


def test_a_bold_line_and_a_hash_in_a_code_block_are_no_headings() -> None:
    made = outline("# A\n**Warning**\ntext\n```\n# not a heading\n```\n# B\ntext\n", "t")
    assert [n["title"] for n in made.tree] == ["A", "B"]
