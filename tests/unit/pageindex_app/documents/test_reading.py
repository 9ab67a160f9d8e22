"""Pages, pictures, originals, search, metrics and the API's own page."""

import io
import re
from pathlib import Path

import pytest
from conftest import settings_for
from fake_model import FakeModel
from fastapi.testclient import TestClient
from hostile_files import GOOD, one_page, stream
from pageindex_app.api.factory import create_app
from pageindex_app.documents.rendering import PIXELS_MOST, scale_for
from pdfs import text_page
from PIL import Image
from waiting import indexed

QUESTION = "How deep is the approach channel at lowest tide?"


def test_a_pages_text_is_given_by_its_number(client: TestClient, harbour: str) -> None:
    page = client.get(f"/api/documents/{harbour}/pages/4").json()
    assert page["page"] == 4
    assert "11.8 metres" in page["text"]
    for number in (0, 8, -1, 10**12):
        reply = client.get(f"/api/documents/{harbour}/pages/{number}")
        assert (reply.status_code, reply.json()["error"]["code"]) == (404, "no_such_page")


def test_a_pages_picture_is_a_png_of_about_the_wished_width_and_is_not_sent_twice(
    client: TestClient, harbour: str
) -> None:
    path = f"/api/documents/{harbour}/pages/4/image"
    reply = client.get(path, params={"width": 590})
    assert reply.headers["content-type"] == "image/png"
    assert abs(Image.open(io.BytesIO(reply.content)).width - 600) <= 1
    again = client.get(path, params={"width": 600}, headers={"If-None-Match": reply.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get(path, params={"width": 0}).status_code == 422
    assert client.get(path, params={"width": 100_000}).status_code == 422


def test_a_page_of_markdown_has_no_picture(client: TestClient) -> None:
    manual = next(d for d in client.get("/api/documents").json()["documents"] if d["kind"] == "markdown")
    reply = client.get(f"/api/documents/{manual['id']}/pages/1/image")
    assert (reply.status_code, reply.json()["error"]["code"]) == (404, "no_image")


def test_a_page_as_large_as_a_town_is_drawn_small(client: TestClient) -> None:
    huge = one_page(stream(text_page("far away")), b"/MediaBox [0 0 14400 14400]")
    document = indexed(client, "town.pdf", huge)
    reply = client.get(f"/api/documents/{document['id']}/pages/1/image", params={"width": 2000})
    width, height = Image.open(io.BytesIO(reply.content)).size
    client.delete(f"/api/documents/{document['id']}")
    assert width * height <= PIXELS_MOST


@pytest.mark.parametrize("size", [(595, 842), (1, 1e9), (1e9, 1), (1e9, 1e9), (0, 0), (14400, 1)])
def test_what_is_drawn_is_bounded_whatever_a_page_claims(size: tuple[float, float]) -> None:
    scale = scale_for(*size, 2000)
    assert scale * max(size[0], 1) * scale * max(size[1], 1) <= PIXELS_MOST * 1.001


def test_pictures_are_kept_up_to_a_limit(model: FakeModel, tmp_path: Path, samples: Path) -> None:
    settings = settings_for(model, tmp_path, page_image_cache_mib=1)
    with TestClient(create_app(settings)) as app:
        document = indexed(app, "harbour.pdf", (samples / "harbour-report-2025.pdf").read_bytes())
        for page in range(1, 8):
            for width in (1400, 2000):
                image = f"/api/documents/{document['id']}/pages/{page}/image"
                assert app.get(image, params={"width": width}).status_code == 200
        kept = list((settings.data_dir / "page-images").iterdir())
        assert 0 < sum(path.stat().st_size for path in kept) <= 1024 * 1024
        app.delete(f"/api/documents/{document['id']}")
        assert list((settings.data_dir / "page-images").iterdir()) == []


def test_the_original_comes_back_byte_by_byte_and_never_as_a_page_of_ours(client: TestClient) -> None:
    names = ['évil"; filename="x.exe\r\nX-Bad: 1.pdf', "<script>alert(1)</script>.pdf"]
    for number, name in enumerate(names):
        content = GOOD + b"\n" * number
        made = indexed(client, name, content)
        reply = client.get(f"/api/documents/{made['id']}/file")
        client.delete(f"/api/documents/{made['id']}")
        assert reply.content == content
        assert reply.headers["content-disposition"].startswith("attachment")
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert "sandbox" in reply.headers["content-security-policy"]
        assert "x-bad" not in reply.headers
        assert not re.search(r"[<>\"\r\n/]", made["name"])


def test_search_finds_pages_by_words_without_the_model(client: TestClient, shared_model: FakeModel) -> None:
    asked = len(shared_model.requests)
    hits = client.get("/api/search", params={"q": "approach channel depth", "limit": 3}).json()["hits"]
    assert len(shared_model.requests) == asked
    assert 0 < len(hits) <= 3
    assert (hits[0]["document"], hits[0]["page"]) == ("harbour-report-2025.pdf", 4)
    assert hits[0]["section"][-1] == "3.1 Dredging of the Approach Channel"
    assert "channel" in hits[0]["snippet"].lower()
    assert client.get("/api/search", params={"q": "zyzzyva"}).json() == {"hits": []}
    assert client.get("/api/search").status_code == 422


def test_the_list_is_filtered_by_name_and_given_in_parts(client: TestClient) -> None:
    everything = client.get("/api/documents").json()
    assert client.get("/api/documents", params={"limit": 1, "offset": 1}).json() == {
        "documents": everything["documents"][1:2],
        "total": everything["total"],
    }
    found = client.get("/api/documents", params={"query": "HARBOUR"}).json()
    assert [document["name"] for document in found["documents"]] == ["harbour-report-2025.pdf"]


def test_metrics_count_what_happens_and_tell_no_words(client: TestClient, shared_model: FakeModel) -> None:
    def value(name: str) -> float:
        found = re.search(rf"^{re.escape(name)} ([0-9.e+]+)$", client.get("/metrics").text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    answered = 'pageindex_answers_total{mode="two-step",support="supported"}'
    tokens = 'pageindex_tokens_total{kind="completion",model="default",work="ask"}'
    before = value(answered), value(tokens)
    client.post("/api/ask", json={"question": QUESTION})
    assert (value(answered), value(tokens) > before[1]) == (before[0] + 1, True)
    assert value('pageindex_documents{status="ready"}') >= 2
    assert value('pageindex_jobs_ended_total{outcome="ready"}') >= 2
    assert value('pageindex_tokens_total{kind="prompt",model="default",work="index"}') > 0
    assert value('pageindex_stage_seconds_count{stage="answering",work="ask"}') >= 1
    text = client.get("/metrics").text
    assert "pageindex_citations_dropped_total" in text
    for word in ("harbour", "channel", "11.8"):
        assert word not in text


def test_the_apis_page_loads_nothing_from_elsewhere(client: TestClient) -> None:
    page = client.get("/api/docs")
    assert page.status_code == 200
    assert "http" not in re.sub(r"<!doctype html>", "", page.text)
    assert "default-src 'self'" in page.headers["content-security-policy"]
    for name in re.findall(r'(?:src|href)="([^"]+)"', page.text):
        assert client.get(f"/api/{name}").status_code == 200, name
    assert client.get("/api/docs/../settings.py").status_code == 404
    assert client.get("/api/docs/nothing.js").status_code == 404
    paths = client.get("/api/openapi.json").json()["paths"]
    assert {"/api/documents", "/api/ask", "/api/events", "/api/search"} <= set(paths)
