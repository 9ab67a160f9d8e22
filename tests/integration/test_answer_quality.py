"""A floor under the answers: questions that nothing was tuned on, asked to the deployed stack's own model.

Takes over 60 s because the model answers each question.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.conftest import Stack
from tests.integration.documents import indexed
from tests.integration.pulumi_project import REPOSITORY

pytestmark = pytest.mark.integration
# The part of `make eval` whose documents are short: a small model on two cores reads them in a minute or two.
FILES = ("roaster-manual.pdf", "catering-contract.pdf", "lifeboat-procedures.md")
# Measured with SmolLM2-135M: 14 pages and 9 answers of 15; a batch's make-up may change a word here and there.
PAGES_FLOOR, ANSWERS_FLOOR = 12, 7


def right(answer: str, words: list[str | list[str]]) -> bool:
    low = answer.lower()
    return all(any(word.lower() in low for word in ([item] if isinstance(item, str) else item)) for item in words)


def test_enough_pages_are_found_and_enough_answers_are_right(stack: Stack, sample: Callable[[str], Path]) -> None:
    plan = yaml.safe_load((REPOSITORY / "samples" / "questions.yaml").read_text(encoding="utf-8"))["documents"]
    held_out: list[dict[str, Any]] = [entry for entry in plan if entry["file"] in FILES]
    assert {entry["set"] for entry in held_out} == {"held-out"}
    asked = [{**question, "file": entry["file"]} for entry in held_out for question in entry["questions"]]
    assert len(asked) == 15
    with stack.client() as http:
        documents = {name: indexed(http, name, sample(name).read_bytes()) for name in FILES}
        try:
            assert {document["status"] for document in documents.values()} == {"ready"}, documents
            ids = [document["id"] for document in documents.values()]
            pages, answers, wrong = 0, 0, []
            for question in asked:
                body = {"question": question["question"], "document_ids": ids}
                answer = http.post("/api/ask", json=body).raise_for_status().json()
                cited = {(c["document"], page) for c in answer["citations"] for page in c["pages"]}
                found = bool(cited & {(question["file"], page) for page in question["pages"]})
                good = right(answer["answer"], question["words"])
                pages, answers = pages + found, answers + good
                if not (found and good):
                    wrong.append((question["question"], answer["answer"], sorted(cited)))
        finally:
            for document in documents.values():
                http.delete(f"/api/documents/{document['id']}")
    assert pages >= PAGES_FLOOR, wrong
    assert answers >= ANSWERS_FLOOR, wrong
