"""Answers and quotes, held against the pages."""

import pytest
from pageindex_app.answering.citations import Evidence, about, candidates, cite
from pageindex_app.search.document_index import DocumentIndex
from traffic_report import traffic_report


@pytest.mark.parametrize(
    ("question", "answer", "borne_out"),
    [
        ("How many ship calls were there?", "There were 1,204 ship calls.", True),
        ("How many ship calls were there?", "There were 1204 ship calls.", True),
        ("How many ship calls were there?", "There were 1,205 ship calls.", False),
        ("How many ship calls were there?", "Aurelia Strand and Kittiwake.", False),
        ("How many tonnes of grain?", "1,310,000", True),
        ("How many ship calls were there?", "", False),
    ],
)
def test_an_answer_is_borne_out_only_by_a_sentence_with_its_numbers(
    question: str, answer: str, borne_out: bool
) -> None:
    document = traffic_report()
    evidence = Evidence(question, candidates([(document, p) for p in document.passages]), [document])
    bearing = evidence.bearing(answer)
    assert bool(cite(bearing[:1]).citations) is borne_out


WEIGHT = "## Weight\n\nWithout its anchor the buoy weighs 310 kilograms. The tower stands on it."


@pytest.mark.parametrize(
    ("question", "chosen", "kept"),
    [
        ("How much does the buoy weigh?", False, True),
        ("What stands on the buoy?", False, True),
        ("Which vaccine is given against measles?", False, False),
        ("Which vaccine is given against measles?", True, False),  # a small model chooses at random
        ("How tall is the highest tower of Copenhagen?", False, False),
        ("Which mass has the float?", False, False),
        ("Which mass has a float without anchor?", True, True),  # words alone would not do
        ("Why?", False, True),  # no telling word, so nothing to go by
    ],
)
def test_a_passage_is_about_a_question_if_it_has_enough_of_its_words(question: str, chosen: bool, kept: bool) -> None:
    tree = [{"title": "Weight", "start_index": 1, "end_index": 1, "node_id": "1"}]
    document = DocumentIndex("doc-1", "a.md", [WEIGHT], tree)
    passages = [(document, passage) for passage in document.passages]
    found = about(question, passages, [document], frozenset({("doc-1", 1)} if chosen else ()))
    assert bool(found) is kept


def test_a_quote_that_is_not_on_the_page_is_never_cited() -> None:
    document = traffic_report()
    sentences = candidates([(document, p) for p in document.passages])
    document.pages[0] = "another text"
    held = cite(sentences)
    assert (held.citations, held.dropped) == ([], len(sentences))
