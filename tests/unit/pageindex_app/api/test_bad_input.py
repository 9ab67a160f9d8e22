"""Files and moments that go wrong: the user is told why, and nothing is lost or half stored."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import settings_for
from fake_model import FakeModel, fake_model
from fastapi.testclient import TestClient
from hostile_files import GOOD, PAGES_MOST, READ, UPLOAD_MIB, Hostile, hostile
from locked_pdf import encrypted
from pageindex_app.api.factory import create_app
from pageindex_app.base.settings import Settings
from waiting import indexed, settled


def stored(settings: Settings) -> list[str]:
    """Every file of the data directory that belongs to a document."""
    found = [path for path in settings.data_dir.rglob("*") if path.is_file()]
    kept = [str(path.relative_to(settings.data_dir)) for path in found if path.name not in ("manifest.json", ".lock")]
    return sorted(kept)


@pytest.fixture(scope="module")
def besieged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TestClient, FakeModel]]:
    """An app with narrow limits."""
    with fake_model() as served:
        settings = settings_for(
            served,
            tmp_path_factory.mktemp("besieged"),
            max_upload_mib=UPLOAD_MIB,
            max_pages=PAGES_MOST,
            index_memory_mib=1200,
            index_timeout_s=25,
        )
        with TestClient(create_app(settings)) as client:
            yield client, served


@pytest.mark.parametrize("case", list(hostile()), ids=lambda case: case.title)
def test_a_hostile_file_is_refused_with_a_sentence_or_read_and_leaves_nothing(
    besieged: tuple[TestClient, FakeModel], case: Hostile
) -> None:
    client, _ = besieged
    services = client.app.state.services  # type: ignore[attr-defined]
    before = stored(services.settings)
    reply = client.post("/api/documents", files={"file": (case.name, case.content())})
    if reply.status_code != 202:
        assert reply.status_code in (413, 415, 422)
        error = reply.json()["error"]
    else:
        document = settled(client, reply.json()["id"])
        error = document["error"] or {"code": READ, "message": "Fine."}
        if document["status"] == "ready":
            image = client.get(f"/api/documents/{document['id']}/pages/1/image?width=400")
            assert image.status_code in (200, 404, 422)
            assert client.get(f"/api/documents/{document['id']}/tree").status_code == 200
        assert client.delete(f"/api/documents/{document['id']}").status_code == 204
    assert error["code"] in case.codes
    assert re.fullmatch(r"[A-Z'].*\.", error["message"])
    assert stored(services.settings) == before
    assert client.get("/health").status_code == 200


def test_there_are_fifty_hostile_files() -> None:
    assert len({case.title for case in hostile()}) >= 50


def test_after_all_of_it_a_good_file_is_still_read(besieged: tuple[TestClient, FakeModel]) -> None:
    assert indexed(besieged[0], "letter.pdf", GOOD)["status"] == "ready"


def test_a_pdf_that_only_forbids_printing_is_read(client: TestClient) -> None:
    document = indexed(client, "locked.pdf", encrypted(GOOD, ""))
    asked = {"question": "On which day was it written?", "document_ids": [document["id"]]}
    assert "Tuesday" in client.post("/api/ask", json=asked).json()["answer"]
    client.delete(f"/api/documents/{document['id']}")


def test_a_text_that_is_too_large_is_refused(client: TestClient) -> None:
    reply = client.post("/api/process", json={"document": "word " * 500_000, "query": "Why?"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (413, "too_large")


def test_a_body_without_an_announced_length_is_refused_while_it_arrives(client: TestClient) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(100):
            yield b"x" * 1024 * 1024

    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    reply = client.post("/api/documents", content=endless(), headers=headers)
    assert (reply.status_code, reply.json()["error"]["code"]) == (413, "too_large")


def test_without_documents_a_question_says_what_to_do(settings: Settings) -> None:
    with TestClient(create_app(settings)) as client:
        reply = client.post("/api/ask", json={"question": "Why?"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (409, "no_documents")


def test_what_a_crash_left_behind_is_swept_away_at_the_next_start(settings: Settings) -> None:
    data = settings.data_dir
    for path in ("incoming/half", "originals/doc-0123456789abcdef/a.pdf", "pageindex/docs/pi-1/tree.json"):
        (data / path).parent.mkdir(parents=True, exist_ok=True)
        (data / path).write_text("[]")
    with TestClient(create_app(settings)) as client:
        assert client.get("/api/documents").json() == {"documents": [], "total": 0}
    assert stored(settings) == []


def test_documents_are_there_again_after_a_restart(model: FakeModel, tmp_path: Path) -> None:
    settings = settings_for(model, tmp_path)
    for expected in (202, 200):
        with TestClient(create_app(settings)) as client:
            reply = client.post("/api/documents", files={"file": ("letter.pdf", GOOD)})
            assert reply.status_code == expected
            settled(client, reply.json()["id"])
            reply = client.post("/api/ask", json={"question": "On which day was the letter written?"})
            assert reply.json()["citations"][0]["document"] == "letter.pdf"


def test_the_model_server_that_does_not_exist_is_a_reason_not_an_error(tmp_path: Path) -> None:
    with fake_model() as gone:
        settings = settings_for(gone, tmp_path)
    with TestClient(create_app(settings)) as client:
        reply = client.get("/ready")
    assert reply.status_code == 503
    assert reply.json()["checks"]["vllm"]["reason"] == "it does not answer"
