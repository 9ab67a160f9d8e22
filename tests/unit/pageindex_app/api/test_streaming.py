"""Streams of answers and of events, and what happens when a client disconnects."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import settings_for
from fake_model import FakeModel, fake_model
from fastapi.testclient import TestClient
from pageindex_app.api.factory import create_app
from serving import served
from waiting import until

QUESTION = "How deep is the approach channel at lowest tide?"
STREAM = {"Accept": "text/event-stream"}


def events(text: str) -> list[tuple[str, Any]]:
    found = []
    for block in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if lines:
            found.append((lines["event"], json.loads(lines["data"])))
    return found


def test_an_answer_comes_as_stages_tokens_and_the_answer_at_the_end(client: TestClient) -> None:
    reply = client.post("/api/ask", json={"question": QUESTION}, headers=STREAM)
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert reply.headers["x-accel-buffering"] == "no"
    found = events(reply.text)
    stages = [data["stage"] for event, data in found if event == "stage"]
    assert stages == ["choosing_sections", "reading_pages", "answering"]
    tokens = [data["text"] for event, data in found if event == "token"]
    assert len(tokens) > 3
    event, answer = found[-1]
    assert event == "answer"
    assert "".join(tokens).strip() == answer["answer"]
    assert answer["citations"][0]["pages"] == [4]
    assert answer == client.post("/api/ask", json={"question": QUESTION}).json()


def test_a_second_reading_begins_with_answering_again(client: TestClient, shared_model: FakeModel) -> None:
    shared_model.answer = lambda _: "The channel is 99.5 fathoms deep."
    found = events(client.post("/api/ask", json={"question": QUESTION}, headers=STREAM).text)
    assert [data["stage"] for event, data in found if event == "stage"].count("answering") == 2
    assert found[-1][1]["support"] == "quoted"


def test_an_error_in_the_middle_of_a_stream_is_an_event(client: TestClient, shared_model: FakeModel) -> None:
    shared_model.failing = 401
    found = events(client.post("/api/ask", json={"question": QUESTION}, headers=STREAM).text)
    assert found[-1][0] == "error"
    assert found[-1][1]["error"]["code"] == "model_unavailable"


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory, samples: Path) -> Iterator[tuple[httpx.Client, FakeModel]]:
    """Behind a real port, where a client can leave."""
    with fake_model() as model:
        app = create_app(settings_for(model, tmp_path_factory.mktemp("live"), model_concurrency=1))
        with served(app) as url, httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
            content = (samples / "harbour-report-2025.pdf").read_bytes()
            made = client.post("/api/documents", files={"file": ("harbour-report-2025.pdf", content)}).json()
            until("ready", lambda: client.get(f"/api/documents/{made['id']}").json()["status"] == "ready")
            yield client, model


def long_answer(_: dict[str, Any]) -> str:
    return "deep " * 400


ASK = ("/api/ask", {"question": QUESTION})
CHAT = ("/v1/chat/completions", {"model": "pageindex", "messages": [{"role": "user", "content": QUESTION}]})


@pytest.mark.parametrize(
    ("path", "body", "headers"),
    [(*ASK, STREAM), (*ASK, {}), (*CHAT, {})],
    ids=["streaming", "waiting for the whole answer", "waiting, as OpenAI's clients do"],
)
def test_a_client_that_leaves_ends_the_models_work(
    live: tuple[httpx.Client, FakeModel], path: str, body: dict[str, Any], headers: dict[str, str]
) -> None:
    client, model = live
    model.answer, model.delay_per_token_s, before = long_answer, 0.05, model.hung_up
    asked = len(model.requests)
    try:
        if headers:
            with client.stream("POST", path, json=body, headers=headers) as reply:
                assert any("event: token" in line for line in reply.iter_lines())
        else:
            with pytest.raises(httpx.ReadTimeout):
                client.post(path, json=body, timeout=2)
            assert len(model.requests) > asked
        until("ended upstream", lambda: model.hung_up > before, 20)
    finally:
        model.answer, model.delay_per_token_s = None, 0.0
    # The only slot is free again.
    assert client.post("/api/ask", json={"question": QUESTION}).status_code == 200


def test_changes_of_documents_are_told_as_they_happen(live: tuple[httpx.Client, FakeModel]) -> None:
    client, _ = live
    with client.stream("GET", "/api/events") as stream:
        lines = stream.iter_lines()
        assert next(lines).startswith(":")
        made = client.post("/api/documents", files={"file": ("note.md", b"# Note\n\nA short one.")}).json()
        seen: list[tuple[str, str]] = []
        event = ""
        for line in lines:
            if line.startswith("event: "):
                event = line.removeprefix("event: ")
            elif line.startswith("data: "):
                data = json.loads(line.removeprefix("data: "))
                seen.append((event, data.get("status", "")))
                if data.get("status") == "ready":
                    client.delete(f"/api/documents/{made['id']}")
                if event == "removed":
                    break
    assert data == {"id": made["id"]}
    assert [step for step in seen if step[1] in ("queued", "indexing", "ready")]
    assert seen[-2][1] == "ready"
