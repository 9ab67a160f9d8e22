"""Scans: refused with a sentence, or read page by page by a model that sees."""

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import settings_for
from fake_model import FakeModel, fake_model
from fastapi.testclient import TestClient
from pageindex_app.api.factory import create_app
from pageindex_app.indexing import indexer
from pdfs import PICTURE, pdf
from PIL import Image
from waiting import indexed

SCAN = pdf(PICTURE, PICTURE.replace(b"\x80", b"\x20"))  # a light page and a dark one


def read_page(body: dict[str, Any]) -> str:
    """What the OCR model sees: told by how dark the picture is."""
    parts = {part["type"]: part for part in body["messages"][0]["content"]}
    raw = base64.b64decode(parts["image_url"]["image_url"]["url"].removeprefix("data:image/png;base64,"))
    picture = Image.open(io.BytesIO(raw))
    darkest = picture.convert("L").getextrema()[0]
    return "The keeper lives in the red house." if darkest < 80 else "The lighthouse was built in 1871."


@pytest.fixture
def reading(tmp_path: Path, model: FakeModel) -> Iterator[tuple[TestClient, FakeModel]]:
    with fake_model() as eyes:
        eyes.answer = read_page
        settings = settings_for(
            model, tmp_path, ocr_base_url=eyes.url, ocr_model="eyes", ocr_api_key_file=tmp_path / "key"
        )
        with TestClient(create_app(settings)) as app:
            yield app, eyes


def test_without_an_ocr_service_a_scan_is_refused_and_the_way_out_is_named(app: TestClient) -> None:
    document = indexed(app, "scan.pdf", SCAN)
    assert (document["status"], document["error"]["code"]) == ("failed", "scanned")
    assert "ocr" in document["error"]["hint"]


def test_with_one_a_scan_is_read_page_by_page_and_can_be_asked(reading: tuple[TestClient, FakeModel]) -> None:
    app, eyes = reading
    document = indexed(app, "scan.pdf", SCAN)
    assert (document["status"], document["pages"]) == ("ready", 2)
    assert {request["model"] for request in eyes.requests} == {"eyes"}
    assert len(eyes.requests) == 2
    answer = app.post("/api/ask", json={"question": "Where does the keeper live?"}).json()
    assert answer["citations"][0]["pages"] == [2]
    assert answer["citations"][0]["quote"] == "The keeper lives in the red house."
    assert app.get(f"/api/documents/{document['id']}/pages/1/image").status_code == 200


def test_a_pdf_with_text_is_not_sent_to_it(reading: tuple[TestClient, FakeModel], samples: Path) -> None:
    app, eyes = reading
    assert indexed(app, "lease.pdf", (samples / "warehouse-lease.pdf").read_bytes())["status"] == "ready"
    assert eyes.requests == []


def test_an_ocr_service_that_fails_is_named(
    reading: tuple[TestClient, FakeModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    app, eyes = reading
    monkeypatch.setattr(indexer, "RETRIES_MOST", 0)
    eyes.failing = 401
    document = indexed(app, "scan.pdf", SCAN)
    assert (document["status"], document["error"]["code"]) == ("failed", "ocr_unavailable")
    assert "401" in document["error"]["message"]
