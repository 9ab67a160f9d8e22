"""The API as its users see it."""

import json
from pathlib import Path

from conftest import settings_for
from fake_model import FakeModel
from fastapi.testclient import TestClient
from pageindex_app import __version__
from pageindex_app.api.factory import create_app
from pageindex_app.search.text import occurs
from pdfs import pdf, text_page
from waiting import indexed

QUESTION = "How deep is the approach channel at lowest tide?"


def upload(client: TestClient, name: str, content: bytes) -> dict[str, object]:
    document = indexed(client, name, content)
    assert document["status"] == "ready", document
    return document


def session_of(asked: list[dict[str, str]]) -> set[str]:
    return {{name.lower(): value for name, value in headers.items()}.get("x-session-id", "") for headers in asked}


def test_questions_to_one_document_go_to_one_replica_and_others_to_any(
    client: TestClient, shared_model: FakeModel, harbour: str
) -> None:
    before = len(shared_model.headers)
    client.post("/api/ask", json={"question": QUESTION, "document_ids": [harbour]})
    between = len(shared_model.headers)
    assert session_of(shared_model.headers[before:between]) == {harbour}
    client.post("/api/ask", json={"question": QUESTION})
    assert session_of(shared_model.headers[between:]) == {""}


def test_health_says_only_that_the_process_is_alive(client: TestClient) -> None:
    assert client.get("/health").json() == {"status": "alive", "version": __version__}


def test_ready_when_the_model_answers_and_storage_is_writable(client: TestClient) -> None:
    reply = client.get("/ready")
    assert reply.status_code == 200
    assert reply.json()["checks"] == {"vllm": {"ok": True, "reason": ""}, "storage": {"ok": True, "reason": ""}}


def test_not_ready_says_which_part_and_why(client: TestClient, shared_model: FakeModel) -> None:
    for failing, reason in ((401, "it does not accept this service's key"), (500, "it answered 500")):
        shared_model.failing = failing
        reply = client.get("/ready")
        assert reply.status_code == 503
        assert reply.headers["Retry-After"] == "10"
        assert reply.json()["checks"]["vllm"] == {"ok": False, "reason": reason}
        assert reply.json()["checks"]["storage"]["ok"]


def test_an_answer_cites_the_page_its_words_stand_on(client: TestClient, harbour: str) -> None:
    reply = client.post("/api/ask", json={"question": QUESTION}).json()
    assert "11.8" in reply["answer"]
    assert reply["support"] == "supported"
    (citation,) = reply["citations"]
    assert citation["document_id"] == harbour
    assert citation["document"] == "harbour-report-2025.pdf"
    assert citation["pages"] == [4]
    assert citation["section"] == ["3. Works and Maintenance", "3.1 Dredging of the Approach Channel"]
    assert "11.8 metres" in citation["quote"]


def test_only_the_named_documents_are_asked(client: TestClient) -> None:
    manual = next(d for d in client.get("/api/documents").json()["documents"] if d["kind"] == "markdown")
    reply = client.post("/api/ask", json={"question": "Who calibrates the sensor?", "document_ids": [manual["id"]]})
    assert {citation["document_id"] for citation in reply.json()["citations"]} == {manual["id"]}


def test_process_answers_from_a_text_that_is_not_kept(client: TestClient) -> None:
    before = client.get("/api/documents").json()["total"]
    text = "# Lamps\n\n## Hall\n\nThe lamp in the hall is green.\n\n## Stairs\n\nThe lamp on the stairs is blue.\n"
    reply = client.post("/api/process", json={"document": text, "query": "Which colour has the lamp in the hall?"})
    assert reply.status_code == 200
    assert "green" in reply.json()["answer"]
    assert reply.json()["citations"][0]["section"] == ["Lamps", "Hall"]
    assert client.get("/api/documents").json()["total"] == before


def test_process_takes_the_id_of_a_stored_document(client: TestClient, harbour: str) -> None:
    reply = client.post("/api/process", json={"document": harbour, "query": QUESTION})
    assert reply.json()["citations"][0]["pages"] == [4]


def test_the_tree_is_pageindexs_own(client: TestClient, harbour: str) -> None:
    tree = client.get(f"/api/documents/{harbour}/tree").json()["tree"]
    titles = [item for node in tree for item in node.get("key_items", [node["title"]])]
    assert "3.1 Dredging of the Approach Channel" in titles
    assert all(node["summary"] for node in tree)
    assert [node["start_index"] for node in tree] == [1, 2, 3, 4, 5, 6, 7]


def test_the_same_bytes_are_one_document_whatever_their_name(client: TestClient, samples: Path, harbour: str) -> None:
    content = (samples / "harbour-report-2025.pdf").read_bytes()
    reply = client.post("/api/documents", files={"file": ("copy.pdf", content)})
    assert reply.status_code == 200
    assert reply.json()["id"] == harbour
    assert reply.json()["name"] == "harbour-report-2025.pdf"


def test_names_lose_their_paths_and_never_collide(client: TestClient) -> None:
    names = ["../../etc/cron.d/notes.md", "C:\\Users\\me\\notes.md", "notes.md", ".notes.md"]
    made = [upload(client, name, f"# Notes\n\nText number {number}.".encode()) for number, name in enumerate(names)]
    assert [document["name"] for document in made] == ["notes.md", "notes (2).md", "notes (3).md", "notes (4).md"]
    for document in made:
        assert client.delete(f"/api/documents/{document['id']}").status_code == 204


def test_a_deleted_document_is_gone_and_may_come_back(client: TestClient) -> None:
    first = upload(client, "gone.md", b"# Gone\n\nThe word is ephemeral.")
    assert client.delete(f"/api/documents/{first['id']}").status_code == 204
    assert client.get(f"/api/documents/{first['id']}").status_code == 404
    assert client.delete(f"/api/documents/{first['id']}").status_code == 404
    again = upload(client, "gone.md", b"# Gone\n\nThe word is ephemeral.")
    assert (again["id"], again["name"]) == (first["id"], "gone.md")
    client.delete(f"/api/documents/{again['id']}")


def test_a_pdf_without_headings_is_asked_by_its_pages(client: TestClient) -> None:
    lines = [[f"Plain remark number {page} about nothing in particular."] for page in range(1, 13)]
    lines[8].append("The treasure is buried under the third oak.")
    made = upload(client, "plain.pdf", pdf(*[text_page(*page) for page in lines]))
    reply = client.post("/api/ask", json={"question": "Where is the treasure?", "document_ids": [made["id"]]}).json()
    client.delete(f"/api/documents/{made['id']}")
    assert reply["citations"][0]["pages"] == [9]


def test_an_answer_that_the_pages_do_not_bear_out_is_replaced_by_a_quote(
    client: TestClient, shared_model: FakeModel
) -> None:
    shared_model.answer = lambda _: "The channel is 99.5 fathoms deep."
    reply = client.post("/api/ask", json={"question": QUESTION}).json()
    assert reply["support"] == "quoted"
    assert reply["answer"] == reply["citations"][0]["quote"]
    assert "99.5" not in reply["answer"]


def test_a_question_about_something_else_gets_no_citation(client: TestClient, shared_model: FakeModel) -> None:
    shared_model.answer = lambda _: "not in the text"
    reply = client.post("/api/ask", json={"question": "Zyzzyva qwertz xylophone?"}).json()
    assert reply == {
        "answer": "The documents do not answer this question.",
        "support": "none",
        "citations": [],
        "mode": "two-step",
        "conversation_id": None,
        "dropped_citations": 0,
    }


def test_every_quote_stands_on_its_page(client: TestClient, samples: Path) -> None:
    import yaml

    plan = yaml.safe_load((samples / "questions.yaml").read_text())["documents"]
    services = client.app.state.services  # type: ignore[attr-defined]
    for asked in [q for entry in plan for q in entry["questions"]]:
        for citation in client.post("/api/ask", json={"question": asked["question"]}).json()["citations"]:
            document = services.library.index(services.library.get(citation["document_id"]))
            assert occurs(citation["quote"], document.page_text(citation["pages"][0]))


def test_the_request_id_is_taken_over_and_reaches_the_model(client: TestClient, shared_model: FakeModel) -> None:
    reply = client.post("/api/ask", json={"question": QUESTION}, headers={"X-Request-Id": "req-42"})
    assert reply.headers["X-Request-Id"] == "req-42"
    assert shared_model.headers[-1]["X-Request-Id"] == "req-42"


def test_a_request_id_that_could_forge_a_log_line_is_replaced(client: TestClient) -> None:
    reply = client.get("/api/documents", headers={"X-Request-Id": 'x"} {"forged": 1'})
    assert "forged" not in reply.headers["X-Request-Id"]


def test_sections_are_chosen_by_structured_output(client: TestClient, shared_model: FakeModel) -> None:
    shared_model.requests.clear()
    client.post("/api/ask", json={"question": QUESTION})
    choice = next(r for r in shared_model.requests if r.get("response_format"))
    schema = choice["response_format"]["json_schema"]["schema"]["properties"]["sections"]
    assert schema["items"]["enum"][0] == "1"
    assert "3.1 Dredging of the Approach Channel" in choice["messages"][0]["content"]


def test_the_log_has_no_text_and_no_key(client: TestClient, shared_model: FakeModel, capfd: object) -> None:
    import io
    import logging

    from fake_model import KEY
    from pageindex_app.base.logs import JsonFormatter

    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    logger = logging.getLogger("pageindex_app")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        client.post("/api/ask", json={"question": QUESTION}, headers={"X-Client": "alice"})
        shared_model.failing = 500
        client.post("/api/process", json={"document": "secretive wording", "query": "Which wording?"})
    finally:
        logger.removeHandler(handler)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert any(line.get("client") == "alice" and line["status"] == 200 for line in lines)
    assert any(line.get("code") == "model_unavailable" for line in lines)
    for forbidden in (KEY, "approach channel", "11.8 metres", "secretive"):
        assert forbidden not in stream.getvalue()


def test_unknown_paths_and_invalid_requests_have_the_same_shape_of_error(client: TestClient) -> None:
    for reply in (
        client.get("/nowhere"),
        client.delete("/api/ask"),
        client.post("/api/ask", json={"question": "   "}),
        client.post("/api/ask", content=b"{not json", headers={"Content-Type": "application/json"}),
        client.post("/api/documents"),
        client.get("/api/documents/doc-0000000000000000"),
        client.post("/api/ask", json={"question": "Why?", "document_ids": ["doc-0000000000000000"]}),
        client.post("/api/process", json={"document": "doc-0000000000000000", "query": "Why?"}),
    ):
        assert 400 <= reply.status_code < 500
        assert set(reply.json()["error"]) == {"code", "message", "hint"}
        assert reply.json()["error"]["message"].endswith(".")


def test_a_model_that_is_busy_for_a_moment_is_asked_again(client: TestClient, shared_model: FakeModel) -> None:
    refusals = iter([429, 503])
    shared_model.answer = lambda _: next(refusals, "The channel is now 11.8 metres deep at lowest tide.")
    reply = client.post("/api/ask", json={"question": QUESTION})
    assert reply.status_code == 200
    assert next(refusals, None) is None
    assert "11.8" in reply.json()["answer"]


def test_a_call_to_the_model_ends_at_its_time_limit(model: FakeModel, tmp_path: Path) -> None:
    model.delay_s = 10
    hasty = settings_for(model, tmp_path).model_copy(update={"model_timeout_s": 1})  # less than an operator may set
    with TestClient(create_app(hasty)) as app:
        reply = app.post("/api/process", json={"document": "# A\n\nb\n\n# C\n\nd", "query": "What is b?"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (503, "model_unavailable")
    assert "longer than 1 s" in reply.json()["error"]["message"]
