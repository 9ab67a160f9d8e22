"""Passages and sections of a document, each with its page."""

from pageindex_app.search.document_index import DocumentIndex
from traffic_report import node, traffic_report


def test_passages_keep_their_heading_and_table_rows_their_figure() -> None:
    passages = traffic_report().passages
    assert [(p.heading, p.text) for p in passages] == [
        ("2.1 Calls", "In 2025 there were 1,204 ship calls."),
        ("2.2 Cargo", "Commodity\nTonnes\nGrain 1,310,000"),
    ]
    assert traffic_report().section_path(1, "2.2 Cargo") == ["2. Traffic", "2.2 Cargo"]


def test_a_page_that_continues_a_section_belongs_to_it() -> None:
    tree = [node("One", 1, 3, node("One and a half", 2, 3)), node("Two", 3, 3)]
    document = DocumentIndex("doc-1", "a.pdf", ["One\na", "One and a half\nb", "c\nTwo\nd"], tree)
    assert document.section_path(3, None) == ["One", "One and a half"]
    assert document.section_path(3, "Two") == ["Two"]
