"""What `make eval` and `make bench-app` write from what was measured."""

from __future__ import annotations

from typing import Any

from bench import app as bench_app
from operate import eval as evaluation


def figures(asked: int, right: int) -> dict[str, Any]:
    counts = {"asked": asked, "first": right, "read": right, "cited": right, "right": right, "own_words": 1}
    return {**counts, "p50_s": 1.5, "longest_s": 3.25}


def result(question: str, *, right: bool, cited: bool) -> dict[str, Any]:
    return {
        "question": question, "set": "held-out", "right": right, "cited": cited, "support": "quoted",
        "answer": "a | b\nc",
    }  # fmt: skip


FOUND = {
    "indexing_s": {"a.pdf": 3.4},
    "figures": {
        "both": {"tuned": figures(28, 26), "held-out": figures(40, 31), "unanswerable": figures(4, 2)},
        "words": {"tuned": figures(28, 25), "held-out": figures(40, 30), "unanswerable": figures(4, 2)},
    },
    "results": {
        "both": [
            result("Right?", right=True, cited=True),
            result("Wrong?", right=False, cited=True),
            result("Elsewhere?", right=True, cited=False),
        ]
    },
}


def test_the_held_out_questions_come_first_and_sets_are_never_added_up() -> None:
    rows = evaluation.table(FOUND)[2:]
    assert [row.split(" | ")[0] for row in rows] == ["| held-out"] * 2 + ["| tuned"] * 2 + ["| unanswerable"] * 2
    assert "31/40" in rows[0]
    assert rows[4].count("| - ") == 3  # no page holds what no document answers


def test_the_page_names_what_was_wrong_and_keeps_the_tables_whole() -> None:
    page = evaluation.page(FOUND, "org/model", 8192)
    assert "| held-out | Wrong? | wrong, quoted | a \\| b c |" in page
    assert "| held-out | Elsewhere? | right, other page, quoted |" in page
    assert "Right?" not in page
    assert "org/model, context 8192 tokens" in page


def test_a_benchmark_says_which_goals_were_met_and_which_missed() -> None:
    pair = {"app_s": [1.0, 1.1, 1.0], "bare_s": [1.0, 1.0, 1.0]}
    many = {"listed": 200, "listing_ms": [60.0, 70.0], "people_s": [0.1, 0.2], "memory_mib": [130.0, 131.5]}
    slow = {"app_s": [1.2, 1.2], "bare_s": [1.0, 1.0]}
    table = bench_app.rows({"indexing": pair, "indexing_long": slow, "asking": pair, "two_step_s": [2.0], "many": many})
    verdicts = {what: verdict for what, _, verdict in table}
    assert verdicts["indexing 7 pages, the model writes summaries: app"] == "1.000 × the library; goal ≤ 1.05 ×: met"
    assert verdicts["indexing 47 pages (scripted model, at once): app"].endswith("missed")
    assert verdicts["listing 200 documents"] == "goal below 50 ms: missed"
    assert verdicts["memory over 500 questions"].endswith("met: +1.5 MiB")
    assert "130 MiB before" in bench_app.page(table, "org/model")
