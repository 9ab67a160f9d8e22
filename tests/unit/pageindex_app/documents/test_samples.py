"""The samples hold what their questions ask for, where they say it."""

from pathlib import Path

import PyPDF2
import pytest
import yaml
from conftest import SAMPLES
from pageindex_app.documents.outline import outline

PLAN = yaml.safe_load((SAMPLES / "questions.yaml").read_text())["documents"]


def pages(file: Path) -> list[str]:
    if file.suffix == ".pdf":
        return [page.extract_text() for page in PyPDF2.PdfReader(file).pages]
    return outline(file.read_text(), file.stem).pages


@pytest.mark.parametrize("entry", PLAN, ids=[entry["file"] for entry in PLAN])
def test_the_expected_words_stand_on_the_expected_pages(entry: dict[str, object]) -> None:
    texts = pages(SAMPLES / str(entry["file"]))
    questions = entry["questions"]
    assert isinstance(questions, list)
    assert len(questions) >= 3
    for asked in questions:
        for word in asked["words"]:
            alternatives = [word] if isinstance(word, str) else word
            where = [n for n, page in enumerate(texts, 1) if any(a in " ".join(page.split()) for a in alternatives)]
            assert set(asked["pages"]) <= set(where), asked["question"]


def test_enough_questions_were_never_used_to_tune_anything() -> None:
    held_out = [asked for entry in PLAN if entry["set"] == "held-out" for asked in entry["questions"]]
    assert len(held_out) >= 30
    assert {entry["set"] for entry in PLAN} == {"tuned", "held-out"}


def test_one_sample_is_a_report_of_more_than_forty_pages() -> None:
    assert max(len(pages(SAMPLES / entry["file"])) for entry in PLAN) > 40
