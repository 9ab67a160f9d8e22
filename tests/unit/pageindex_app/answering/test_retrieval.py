"""Rankings of pages, joined into one."""

from pageindex_app.answering.retrieval import fuse


def test_a_page_that_two_rankings_name_comes_before_one_that_leads_a_single_one() -> None:
    assert fuse([(1.0, [(0, 1), (0, 2)]), (1.0, [(0, 3), (0, 2)])])[0] == (0, 2)


def test_the_models_vote_adds_a_page_but_does_not_overrule_both_word_rankings() -> None:
    ranked = fuse([(1.0, [(0, 1)]), (1.0, [(0, 1)]), (0.5, [(0, 9)])])
    assert ranked == [(0, 1), (0, 9)]
