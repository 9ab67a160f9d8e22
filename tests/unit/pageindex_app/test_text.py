"""Words, sentences, quotes, and the texts that become pages."""

from itertools import pairwise

import pytest
from pageindex_app.answering.citations import Evidence, about, candidates, cite
from pageindex_app.answering.retrieval import fuse
from pageindex_app.documents.outline import PAGE_CHARS, outline
from pageindex_app.search import bm25, text
from pageindex_app.search.document_index import DocumentIndex


def node(title: str, start: int, end: int, *nodes: dict[str, object], **more: object) -> dict[str, object]:
    return {"title": title, "node_id": title, "start_index": start, "end_index": end, "nodes": list(nodes), **more}


def test_numbers_are_found_with_and_without_thousands_separators() -> None:
    assert text.terms("1,204 calls") == text.terms("1204 calls")
    assert text.terms("3.42") != text.terms("342")


def test_a_quote_may_run_over_a_line_break_but_not_change_a_word() -> None:
    page = "The channel is now\n11.8 metres   deep."
    assert text.occurs("now 11.8 metres deep", page)
    assert not text.occurs("now 11.9 metres deep", page)
    assert not text.occurs("  ", page)


def test_a_quote_is_found_however_its_page_breaks_words_and_writes_marks() -> None:
    page = "The harbour\u2019s mainte\u00ad\nnance took ex-\nactly 4\u20135 mon\u00adths, "
    page += "\u201cas planned\u201d, says the of\ufb01ce."
    assert text.occurs("harbour's maintenance took exactly 4-5 months", page)
    assert text.occurs('"as planned", says the office', page)
    assert text.occurs("ex- actly 4\u20135", page)
    assert not text.occurs("exactly 45 months", page)


def test_sentences_do_not_end_at_abbreviations_or_decimals() -> None:
    found = list(text.sentences("Dr. Quill measured 11.8 metres. It opens at 5 a.m. Every day. Done."))
    assert found[0] == "Dr. Quill measured 11.8 metres."
    assert "It opens at 5 a.m. Every day." in found


def test_a_page_is_cut_at_its_headings() -> None:
    found = text.blocks("before\n1.1 The Board\nnine members\n1.2 Staff\n186 people", ["1.1 The Board", "1.2 Staff"])
    assert [(block.heading, block.text) for block in found] == [
        (None, "before"),
        ("1.1 The Board", "nine members"),
        ("1.2 Staff", "186 people"),
    ]


def test_a_rare_word_weighs_more_than_a_common_one() -> None:
    corpus = bm25.Postings([text.terms(t) for t in ("the harbour and the boat", "the harbour and the gull", "harbour")])
    best = bm25.scores(text.terms("harbour gull"), [corpus])
    assert best[0][2] == 1


def test_a_longer_word_with_the_same_beginning_is_found_for_less() -> None:
    corpus = bm25.Postings([text.terms("weight 38 kg"), text.terms("we weigh it")])
    assert [hit[2] for hit in bm25.scores(text.terms("weigh"), [corpus])] == [1, 0]


def test_scores_over_several_documents_share_one_scale() -> None:
    one, two = bm25.Postings([["buoy", "anchor"]]), bm25.Postings([["buoy", "buoy"], ["harbour"]])
    assert [hit[1:] for hit in bm25.scores(["buoy"], [one, two])] == [(1, 0), (0, 0)]


def test_a_page_that_two_rankings_name_comes_before_one_that_leads_a_single_one() -> None:
    assert fuse([(1.0, [(0, 1), (0, 2)]), (1.0, [(0, 3), (0, 2)])])[0] == (0, 2)


def test_the_models_vote_adds_a_page_but_does_not_overrule_both_word_rankings() -> None:
    ranked = fuse([(1.0, [(0, 1)]), (1.0, [(0, 1)]), (0.5, [(0, 9)])])
    assert ranked == [(0, 1), (0, 9)]


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


def index() -> DocumentIndex:
    page = "2. Traffic\n2.1 Calls\nIn 2025 there were 1,204 ship calls.\n"
    page += "2.2 Cargo\nCommodity\nTonnes\nGrain\n1,310,000\n"
    tree = [node("2. Traffic", 1, 1, key_items=["2.1 Calls; 2.2 Cargo", "2.1 Calls", "2.2 Cargo"])]
    return DocumentIndex("doc-1", "report.pdf", [page], tree)


def test_passages_keep_their_heading_and_table_rows_their_figure() -> None:
    passages = index().passages
    assert [(p.heading, p.text) for p in passages] == [
        ("2.1 Calls", "In 2025 there were 1,204 ship calls."),
        ("2.2 Cargo", "Commodity\nTonnes\nGrain 1,310,000"),
    ]
    assert index().section_path(1, "2.2 Cargo") == ["2. Traffic", "2.2 Cargo"]


def test_a_page_that_continues_a_section_belongs_to_it() -> None:
    tree = [node("One", 1, 3, node("One and a half", 2, 3)), node("Two", 3, 3)]
    document = DocumentIndex("doc-1", "a.pdf", ["One\na", "One and a half\nb", "c\nTwo\nd"], tree)
    assert document.section_path(3, None) == ["One", "One and a half"]
    assert document.section_path(3, "Two") == ["Two"]


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
    document = index()
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
    document = index()
    sentences = candidates([(document, p) for p in document.passages])
    document.pages[0] = "another text"
    held = cite(sentences)
    assert (held.citations, held.dropped) == ([], len(sentences))
