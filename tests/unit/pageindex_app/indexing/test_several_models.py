"""A model for each purpose: one answers, a small one summarises within its own window, one reads scans."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import settings_for
from fake_model import FakeModel
from fastapi.testclient import TestClient
from pageindex_app.api.factory import create_app
from pageindex_app.base.settings import CHARS_PER_TOKEN
from pageindex_app.model.pageindex_internals import shortened
from pdfs import PICTURE, pdf
from waiting import indexed

LINE = "The lighthouse of Aldmoor was built in 1871 by the harbour guild. "
WINDOW = 2048


def asked(model: FakeModel, name: str) -> list[dict[str, Any]]:
    return [request for request in model.requests if request["model"] == name]


@pytest.fixture
def three(tmp_path: Path, model: FakeModel) -> Iterator[TestClient]:
    model.served = ("large", "quick", "eyes")
    settings = settings_for(
        model,
        tmp_path,
        vllm_model="large",
        context_tokens=16_384,
        summary_model="quick",
        summary_context_tokens=WINDOW,
        ocr_base_url=model.url,
        ocr_model="eyes",
        ocr_context_tokens=4096,
        ocr_api_key_file=tmp_path / "key",
    )
    with TestClient(create_app(settings)) as app:
        yield app


def test_one_model_summarises_and_another_answers(three: TestClient, model: FakeModel) -> None:
    document = indexed(three, "lighthouse.md", f"# Built\n\n{LINE * 40}\n\n# Painted\n\n{LINE * 40}".encode())
    assert document["status"] == "ready", document
    assert {request["model"] for request in model.requests} == {"quick"}
    summaries = len(model.requests)
    three.post("/api/ask", json={"question": "When was the lighthouse built?"})
    assert {request["model"] for request in model.requests[summaries:]} == {"large"}
    tokens = [line for line in three.get("/metrics").text.splitlines() if line.startswith("pageindex_tokens_total")]
    assert any('kind="prompt",model="quick",work="index"' in line for line in tokens)
    assert any('kind="prompt",model="large",work="ask"' in line for line in tokens)
    assert not any('model="large",work="index"' in line or 'model="quick",work="ask"' in line for line in tokens)


def test_the_prompt_of_a_summary_fits_the_window_of_the_model_that_summarises(
    three: TestClient, model: FakeModel
) -> None:
    document = indexed(three, "long.md", f"# Long\n\n{LINE * 400}".encode())
    assert document["status"] == "ready", document
    prompts = [request["messages"][-1]["content"] for request in asked(model, "quick")]
    longest = max(prompts, key=len)
    assert len(longest) < WINDOW * CHARS_PER_TOKEN < len(LINE * 400)
    assert "Given Text: " in longest
    assert "JSON format" in longest, "what it is to reply in stands after the text, and stays"


def test_a_summary_that_a_window_still_refuses_is_asked_for_with_less_text(three: TestClient, model: FakeModel) -> None:
    def refuse_long(body: dict[str, Any]) -> str | int:
        return 400 if len(body["messages"][-1]["content"]) > 2000 else '{"summary": "Built by the guild."}'

    model.answer = refuse_long
    document = indexed(three, "long.md", f"# Long\n\n{LINE * 400}".encode())
    assert document["status"] == "ready", document
    tree = three.get(f"/api/documents/{document['id']}/tree").json()
    assert "Built by the guild." in str(tree)


def test_a_scan_is_read_by_a_model_of_the_same_server_within_its_window(three: TestClient, model: FakeModel) -> None:
    model.answer = lambda _: "The keeper lives in the red house."
    document = indexed(three, "scan.pdf", pdf(PICTURE))
    assert document["status"] == "ready", document
    [request] = asked(model, "eyes")
    assert request["max_tokens"] == 2048, "half of the window is the picture's"
    assert 'kind="prompt",model="eyes",work="scans"' in three.get("/metrics").text


def test_without_the_model_that_summarises_uploads_wait_and_questions_are_answered(
    three: TestClient, model: FakeModel
) -> None:
    model.served = ("large", "eyes")
    reply = three.post("/api/documents", files={"file": ("a.md", b"# A\n\nSome text.")})
    document = three.get(f"/api/documents/{reply.json()['id']}").json()
    assert document["status"] == "queued"
    assert three.get("/ready").status_code == 200


def test_who_does_what_is_shown(three: TestClient, app: TestClient) -> None:
    assert three.get("/api/models").json() == {
        "answer": {"model": "large", "context_tokens": 16_384},
        "summary": {"model": "quick", "context_tokens": WINDOW},
        "scans": {"model": "eyes", "context_tokens": 4096},
    }
    alone = {"model": "default", "context_tokens": 8192}
    assert app.get("/api/models").json() == {"answer": alone, "summary": alone, "scans": None}


def test_a_prompt_is_cut_between_its_beginning_and_its_orders() -> None:
    prompt = "BEGIN " + "x" * 5000 + " END"
    cut = shortened(prompt, 1000)
    assert len(cut) == 1000
    assert cut.startswith("BEGIN")
    assert cut.endswith(" END")
    assert shortened("short", 1000) == "short"
