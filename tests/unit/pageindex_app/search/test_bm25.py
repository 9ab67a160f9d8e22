"""Which texts share the most telling words with a query."""

from pageindex_app.search import bm25, text


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
