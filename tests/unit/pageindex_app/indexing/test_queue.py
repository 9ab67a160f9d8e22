"""Indexing in the background: nothing is lost, nothing is done twice, one bad file stops no other."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from conftest import ROOT, settings_for
from fake_model import FakeModel, fake_model
from fastapi.testclient import TestClient
from hostile_files import GOOD
from pageindex_app.api.factory import create_app
from pageindex_app.base.failures import Failure
from pageindex_app.base.settings import Settings
from pageindex_app.documents.job_records import JobRecord, JobRecords
from pageindex_app.indexing import indexer
from pageindex_app.workers.protocol import RenderJob
from pageindex_app.workers.worker_process import WorkerProcess
from pdfs import pdf, text_page
from waiting import indexed, settled, until


def chapters(word: str, count: int = 3) -> bytes:
    """Markdown whose chapters are long enough for summaries by the model."""
    return "\n\n".join(
        f"# {word} {n}\n\n" + f"{word} number {n} is described here. " * 60 for n in range(count)
    ).encode()


def statuses(client: TestClient | httpx.Client) -> dict[str, str]:
    return {found["name"]: found["status"] for found in client.get("/api/documents").json()["documents"]}


def test_an_upload_is_answered_at_once_and_shows_its_progress(app: TestClient, model: FakeModel) -> None:
    model.delay_s = 0.2
    reply = app.post("/api/documents", files={"file": ("long.md", chapters("Topic", 8))})
    assert reply.status_code == 202
    document = reply.json()
    assert (document["status"], document["pages"], document["error"]) == ("queued", None, None)
    assert reply.headers["Location"] == f"/api/documents/{document['id']}"
    seen = []

    def summaries_seen() -> bool:
        now = app.get(f"/api/documents/{document['id']}").json()
        if now["progress"]:
            seen.append(now["progress"])
        return bool(now["status"] == "ready")

    until("ready", summaries_seen)
    counted = [progress for progress in seen if progress["stage"] == "summaries"]
    assert counted
    assert all(0 < progress["done"] <= progress["total"] for progress in counted)
    assert settled(app, document["id"])["progress"] is None


def test_the_same_bytes_are_one_document_also_while_they_are_queued(app: TestClient, model: FakeModel) -> None:
    model.delay_s = 0.2
    replies = [app.post("/api/documents", files={"file": (f"{n}.md", chapters("Same"))}) for n in range(3)]
    assert [reply.status_code for reply in replies] == [202, 200, 200]
    assert len({reply.json()["id"] for reply in replies}) == 1
    settled(app, replies[0].json()["id"])
    assert statuses(app) == {"0.md": "ready"}
    assert list(app.app.state.services.library.incoming.iterdir()) == []  # type: ignore[attr-defined]


def test_names_are_told_apart_also_while_they_are_queued(app: TestClient, model: FakeModel) -> None:
    model.failing = 503
    for number in range(3):
        app.post("/api/documents", files={"file": ("report.pdf", pdf(text_page(f"Report {number}.")))})
    assert set(statuses(app)) == {"report.pdf", "report (2).pdf", "report (3).pdf"}


def test_without_a_model_uploads_wait_and_say_so_and_go_on_when_it_is_back(app: TestClient, model: FakeModel) -> None:
    model.failing = 503
    reply = app.post("/api/documents", files={"file": ("later.pdf", GOOD)})
    assert reply.status_code == 202
    path = f"/api/documents/{reply.json()['id']}"
    error = until("told", lambda: app.get(path).json()["error"])
    assert error["code"] == "model_unavailable"
    assert app.get(path).json()["status"] == "queued"
    model.failing = None
    assert settled(app, reply.json()["id"])["status"] == "ready"


def test_a_model_that_breaks_off_in_the_middle_is_asked_again(
    app: TestClient, model: FakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexer, "RETRY_S", 0.1)
    asked = 0

    def reply(_: object) -> str | int:
        nonlocal asked
        asked += 1
        return 404 if asked < 4 else '{"summary": "At last."}'  # PageIndex itself does not repeat after a 404

    model.answer = reply
    document = indexed(app, "long.md", chapters("Patience"))
    assert document["status"] == "ready", document
    assert asked > 4


def test_a_model_that_never_answers_is_given_up_in_the_end_and_the_same_upload_tries_again(
    app: TestClient, model: FakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexer, "RETRY_S", 0.01)
    monkeypatch.setattr(indexer, "RETRIES_MOST", 2)
    model.answer = lambda _: 404
    document = indexed(app, "long.md", chapters("Patience"))
    assert (document["status"], document["error"]["code"]) == ("failed", "model_unavailable")
    model.answer = None
    again = app.post("/api/documents", files={"file": ("long.md", chapters("Patience"))})
    assert again.status_code == 202
    assert settled(app, document["id"])["status"] == "ready"


def test_a_worker_that_dies_fails_its_document_and_no_other(app: TestClient, model: FakeModel) -> None:
    workers = app.app.state.services.indexer.workers  # type: ignore[attr-defined]
    model.delay_s = 0.3
    victim = app.post("/api/documents", files={"file": ("victim.md", chapters("Victim", 8))}).json()["id"]
    other = app.post("/api/documents", files={"file": ("other.md", chapters("Other"))}).json()["id"]
    until("asking", lambda: model.requests)
    os.kill(workers[0].pid, signal.SIGKILL)
    assert settled(app, victim)["error"]["code"] == "crashed"
    assert settled(app, other)["status"] == "ready"


def test_what_takes_too_long_is_ended_and_the_next_job_gets_a_fresh_worker(tmp_path: Path) -> None:
    page = tmp_path / "letter.pdf"
    page.write_bytes(GOOD)
    job = RenderJob(file=page, page=1, width=200, target=tmp_path / "page.png")

    async def scenario() -> list[Failure | None]:
        worker = WorkerProcess(1024)
        late = await worker.run(job, 0.001)
        again = await worker.run(job, 120)
        await worker.kill()
        return [late.failure, again.failure]

    late, again = asyncio.run(scenario())
    assert late is not None
    assert (late.code, again) == ("timeout", None)
    assert job.target.read_bytes().startswith(b"\x89PNG")


def test_a_document_deleted_while_it_is_indexed_is_gone_and_the_next_goes_on(app: TestClient, model: FakeModel) -> None:
    model.delay_s = 0.3
    gone = app.post("/api/documents", files={"file": ("gone.md", chapters("Gone", 8))}).json()["id"]
    other = app.post("/api/documents", files={"file": ("other.md", chapters("Other"))}).json()["id"]
    until("asking", lambda: model.requests)
    assert app.delete(f"/api/documents/{gone}").status_code == 204
    assert app.get(f"/api/documents/{gone}").status_code == 404
    assert settled(app, other)["status"] == "ready"
    assert statuses(app) == {"other.md": "ready"}
    data = app.app.state.services.settings.data_dir  # type: ignore[attr-defined]
    assert not [path for path in data.rglob("*") if gone in str(path)]


def test_reindexing_answers_from_the_old_index_until_the_new_one_is_there(app: TestClient, model: FakeModel) -> None:
    text = pdf(text_page("Lamps", "The lamp is red."), text_page("Doors", "The door is blue."))
    document = indexed(app, "house.pdf", text)
    model.failing = 503
    assert app.post(f"/api/documents/{document['id']}/reindex").status_code == 202
    assert app.get(f"/api/documents/{document['id']}").json()["status"] == "queued"
    assert app.get("/api/search", params={"q": "door"}).json()["hits"][0]["document"] == "house.pdf"
    model.failing = None
    again = settled(app, document["id"])
    assert (again["status"], again["name"], again["created_at"]) == ("ready", "house.pdf", document["created_at"])
    docs = app.app.state.services.library.pageindex_dir / "docs"  # type: ignore[attr-defined]
    (stored,) = docs.glob("*/doc.json")
    assert json.loads(stored.read_text())["name"] == "house.pdf"  # the agent knows it by this name


def test_a_reindexing_that_fails_leaves_the_old_index(
    app: TestClient, model: FakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexer, "RETRIES_MOST", 0)
    document = indexed(app, "long.md", chapters("Old"))
    model.answer = lambda _: 404
    app.post(f"/api/documents/{document['id']}/reindex")
    again = until("failed", lambda: (found := app.get(f"/api/documents/{document['id']}").json())["error"] and found)
    assert (again["status"], again["error"]["code"]) == ("ready", "model_unavailable")
    model.answer = None
    assert app.get(f"/api/documents/{document['id']}/tree").status_code == 200


def test_a_file_that_was_there_at_five_ends_of_the_service_is_taken_for_their_cause(
    model: FakeModel, settings: Settings
) -> None:
    folder = settings.data_dir / "jobs"
    folder.mkdir(parents=True)
    for number, starts in enumerate((indexer.STARTS_MOST, 1)):
        identity = f"doc-{number:016x}"
        original = settings.data_dir / "originals" / identity / f"{number}.pdf"
        original.parent.mkdir(parents=True)
        original.write_bytes(pdf(text_page(f"Letter {number}.")))
        JobRecords(folder).save(
            JobRecord(
                id=identity,
                name=original.name,
                kind="pdf",
                size_bytes=1,
                sha256="",
                created_at="2026-01-01T00:00:00.000Z",
                state="indexing",
                starts=starts,
            )
        )
    (folder / "broken.json").write_text("{")
    with TestClient(create_app(settings)) as app:
        assert settled(app, "doc-0000000000000000")["error"]["code"] == "crashed"
        assert settled(app, "doc-0000000000000001")["status"] == "ready"


@contextmanager
def service(settings: Settings, model: FakeModel) -> Iterator[tuple[subprocess.Popen[bytes], httpx.Client]]:
    """The service as a process of its own."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT / "services/pageindex_app"),
        "VLLM_BASE_URL": model.url,
        "VLLM_API_KEY_FILE": str(settings.vllm_api_key_file),
        "DATA_DIR": str(settings.data_dir),
        "HOST": "127.0.0.1",
        "PORT": str(port),
    }
    process = subprocess.Popen([sys.executable, "-m", "pageindex_app"], env=environment, stdout=subprocess.DEVNULL)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as client:

            def alive() -> bool:
                try:
                    return client.get("/health").status_code == 200
                except httpx.TransportError:
                    return False

            until("alive", alive)
            yield process, client
    finally:
        process.kill()
        process.wait()


def test_a_service_killed_in_the_middle_of_ten_jobs_loses_none(tmp_path: Path) -> None:
    with fake_model() as model:
        settings = settings_for(model, tmp_path)
        model.delay_s = 0.2
        with service(settings, model) as (process, client):
            for number in range(10):
                files = {"file": (f"{number}.md", chapters(f"Topic{number}"))}
                assert client.post("/api/documents", files=files).status_code == 202
            until("in the middle", lambda: {"ready", "indexing", "queued"} <= set(statuses(client).values()))
            process.send_signal(signal.SIGKILL)
            process.wait()
        model.delay_s = 0.0
        with service(settings, model) as (_, client):
            until("all ready", lambda: set(statuses(client).values()) == {"ready"})
            assert set(statuses(client)) == {f"{number}.md" for number in range(10)}


def test_a_service_that_is_told_to_stop_does_not_wait_for_whoever_listens(tmp_path: Path) -> None:
    with fake_model() as model, service(settings_for(model, tmp_path), model) as (process, client):
        with client.stream("GET", "/api/events") as stream:
            lines = stream.iter_lines()
            assert next(lines).startswith(":")
            process.send_signal(signal.SIGTERM)
            assert not [line for line in lines if line]
        assert process.wait(60) in (0, -signal.SIGTERM)  # uvicorn ends as the signal would have


def test_the_request_id_of_an_upload_reaches_the_model(app: TestClient, model: FakeModel) -> None:
    files = {"file": ("long.md", chapters("Trace"))}
    reply = app.post("/api/documents", files=files, headers={"X-Request-Id": "upload-7"})
    settled(app, reply.json()["id"])
    asked = [{name.lower(): value for name, value in headers.items()} for headers in model.headers]
    assert {headers.get("x-request-id") for headers in asked} == {"upload-7"}
