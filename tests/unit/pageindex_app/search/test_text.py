"""Words, sentences and quotes, found again where they stand."""

from pageindex_app.search import text


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
