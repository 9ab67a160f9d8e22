"""Files and moments that go wrong: the user is told why, and nothing is lost or half stored."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import settings_for
from fake_model import FakeModel, fake_model
from fastapi.testclient import TestClient
from pageindex_app.factory import create_app
from pageindex_app.indexing import Indexer, Upload
from pageindex_app.library import Library
from pageindex_app.model import ModelClient
from pageindex_app.settings import Settings
from pdfs import PICTURE, encrypted, pdf, text_page

GOOD = pdf(text_page("A short letter.", "It was written on a Tuesday."))
HOSTILE = {
    "encrypted": ("letter.pdf", encrypted(GOOD, "secret"), 422, "encrypted", "password"),
    "no content": ("blank.pdf", pdf(b""), 422, "empty", "empty"),
    "no bytes": ("nothing.pdf", b"", 422, "empty", "empty"),
    "scanned": ("scan.pdf", pdf(PICTURE, PICTURE), 422, "scanned", "scan"),
    "too large": ("large.pdf", GOOD + b"\n" * (2 * 1024 * 1024), 413, "too_large", "2 MiB"),
    "far too large": ("huge.pdf", GOOD + b"\n" * (8 * 1024 * 1024), 413, "too_large", "2 MiB"),
    "too many pages": ("long.pdf", pdf(*[text_page("x")] * 41), 413, "too_many_pages", "41 pages"),
    "cut off": ("cut.pdf", GOOD[:200], 422, "damaged", "damaged"),
    "PDF by name only": ("letter.pdf", b"Dear Sir, this is no PDF.", 415, "not_a_pdf", "named like a PDF"),
    "PDF header only": ("header.pdf", b"%PDF-1.7\n", 422, "damaged", "damaged"),
    "a program": ("tool.exe", b"MZ\x90\x00" * 100, 415, "unsupported_type", "PDF and Markdown"),
    "an archive": ("docs.zip", b"PK\x03\x04" + b"\0" * 100, 415, "unsupported_type", "PDF and Markdown"),
    "binary Markdown": ("notes.md", b"\xff\xfe\x00\x01" * 50, 415, "not_text", "UTF-8"),
    "Markdown with NUL": ("notes.md", b"# A\n\0\0\n", 415, "not_text", "UTF-8"),
    "blank Markdown": ("notes.md", b" \n\n\t\n", 422, "empty", "empty"),
    "long Markdown": ("long.md", b"# T\n" + b"word " * 120_000, 413, "too_many_pages", "pages"),
}


def stored(settings: Settings) -> list[str]:
    """Every file of the data directory that belongs to a document."""
    found = [path for path in settings.data_dir.rglob("*") if path.is_file()]
    return [str(path) for path in found if path.name not in ("manifest.json", ".lock")]


@pytest.mark.parametrize("case", HOSTILE)
def test_a_file_we_cannot_read_is_refused_with_a_sentence_and_leaves_nothing(client: TestClient, case: str) -> None:
    name, content, status, code, words = HOSTILE[case]
    services = client.app.state.services  # type: ignore[attr-defined]
    before = stored(services.settings)
    reply = client.post("/api/documents", files={"file": (name, content)})
    error = reply.json()["error"]
    assert (reply.status_code, error["code"]) == (status, code)
    assert words in error["message"] + error["hint"]
    assert re.fullmatch(r"[A-Z].*\.", error["message"])
    assert stored(services.settings) == before
    assert client.get("/health").status_code == 200


def test_a_pdf_that_only_forbids_printing_is_read(client: TestClient) -> None:
    reply = client.post("/api/documents", files={"file": ("locked.pdf", encrypted(GOOD, ""))})
    assert reply.status_code == 201, reply.text
    asked = {"question": "On which day was it written?", "document_ids": [reply.json()["id"]]}
    assert "Tuesday" in client.post("/api/ask", json=asked).json()["answer"]
    client.delete(f"/api/documents/{reply.json()['id']}")


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


def test_while_the_model_is_down_questions_and_uploads_get_503_and_may_be_retried(
    client: TestClient, shared_model: FakeModel
) -> None:
    services = client.app.state.services  # type: ignore[attr-defined]
    before = stored(services.settings)
    shared_model.failing = 503
    question = client.post("/api/process", json={"document": "# A\n\nb\n\n# C\n\nd", "query": "What is b?"})
    upload = client.post("/api/documents", files={"file": ("later.pdf", GOOD)})
    for reply in (question, upload):
        assert (reply.status_code, reply.json()["error"]["code"]) == (503, "model_unavailable")
        assert reply.headers["Retry-After"] == "10"
    assert stored(services.settings) == before
    shared_model.failing = None
    again = client.post("/api/documents", files={"file": ("later.pdf", GOOD)})
    assert (again.status_code, again.json()["name"]) == (201, "later.pdf")
    client.delete(f"/api/documents/{again.json()['id']}")


def test_a_model_that_fails_in_the_middle_of_indexing_leaves_no_broken_document(
    client: TestClient, shared_model: FakeModel
) -> None:
    services = client.app.state.services  # type: ignore[attr-defined]
    before = stored(services.settings)
    shared_model.answer = lambda _: 404  # not retried by PageIndex, unlike a refused connection
    files = {"file": ("long.md", b"# One\n\n" + b"a b c " * 200 + b"\n# Two\n\n" + b"d e f " * 200)}
    reply = client.post("/api/documents", files=files)
    assert (reply.status_code, reply.json()["error"]["code"]) == (503, "model_unavailable")
    assert stored(services.settings) == before
    shared_model.answer = None
    again = client.post("/api/documents", files=files)
    assert again.status_code == 201
    client.delete(f"/api/documents/{again.json()['id']}")


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
    for expected in (201, 200):
        with TestClient(create_app(settings)) as client:
            reply = client.post("/api/documents", files={"file": ("letter.pdf", GOOD)})
            assert reply.status_code == expected
            reply = client.post("/api/ask", json={"question": "On which day was the letter written?"})
            assert reply.json()["citations"][0]["document"] == "letter.pdf"


def test_a_worker_that_dies_is_replaced(model: FakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_for(model, tmp_path, index_timeout_s=10)
    library = Library(settings.data_dir)
    library.open()

    async def scenario() -> tuple[str, str]:
        client = ModelClient(settings)
        indexer = Indexer(settings, library, client)
        indexer.start()
        pool = indexer._pool
        assert pool is not None
        await asyncio.wrap_future(pool.submit(abs, -1))
        for process in list(pool._processes.values()):
            process.kill()
        path = library.incoming / "x"
        path.write_bytes(GOOD)
        first = ""
        try:
            await indexer.add(Upload(path, "a.pdf", "pdf", len(GOOD), "0" * 64))
        except Exception as error:
            first = getattr(error, "code", "")
        path.write_bytes(GOOD)
        document, _ = await indexer.add(Upload(path, "a.pdf", "pdf", len(GOOD), "0" * 64))
        indexer.stop()
        await client.close()
        return first, document.name

    first, name = asyncio.run(scenario())
    assert first in ("crashed", "")  # the pool may have noticed and been replaced before
    assert name == "a.pdf"


def test_two_uploads_of_the_same_bytes_at_once_are_indexed_once(model: FakeModel, tmp_path: Path) -> None:
    settings = settings_for(model, tmp_path)
    library = Library(settings.data_dir)
    library.open()

    async def scenario() -> list[bool]:
        client = ModelClient(settings)
        indexer = Indexer(settings, library, client)
        uploads = []
        for number in range(3):
            path = library.incoming / str(number)
            path.write_bytes(GOOD)
            uploads.append(Upload(path, f"{number}.pdf", "pdf", len(GOOD), "1" * 64))
        done = await asyncio.gather(*[indexer.add(upload) for upload in uploads])
        indexer.stop()
        await client.close()
        return [new for _, new in done]

    assert sorted(asyncio.run(scenario())) == [False, False, True]
    assert len(library.all()) == 1
    assert list(library.incoming.iterdir()) == []


def test_the_model_server_that_does_not_exist_is_a_reason_not_an_error(tmp_path: Path) -> None:
    with fake_model() as gone:
        settings = settings_for(gone, tmp_path)
    with TestClient(create_app(settings)) as client:
        reply = client.get("/ready")
    assert reply.status_code == 503
    assert reply.json()["checks"]["vllm"]["reason"] == "it does not answer"
