"""The page's files: complete, without anything inline or foreign, and sent with the right headers."""

import re
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from pageindex_app import quote_finder
from pageindex_app.answering.questions import QUESTION_CHARS
from pageindex_app.api.routes import web_page
from pageindex_app.api.routes.web_page import WEB, web_files

FILES = sorted(path for path in WEB.rglob("*") if path.is_file())


def test_the_page_needs_no_key_and_allows_nothing_foreign(client: TestClient) -> None:
    reply = client.get("/")
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    policy = reply.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self';")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert reply.headers["x-content-type-options"] == "nosniff"


def test_the_page_knows_how_long_a_question_may_be(client: TestClient) -> None:
    page = client.get("/").text
    assert f'data-question-chars="{QUESTION_CHARS}"' in page
    assert "{{" not in page


def test_every_file_that_the_page_names_is_there(client: TestClient) -> None:
    named = re.findall(r'(?:href|src)="(/static/[^"]+)"', client.get("/").text)
    assert len(named) > 5
    for address in named:
        assert client.get(address).status_code == 200, address


def test_every_module_that_a_script_imports_is_there() -> None:
    for script in WEB.glob("js/*.js"):
        for name in re.findall(r'from "(\./[^"]+)"', script.read_text()):
            assert (script.parent / name).is_file(), f"{script.name} imports {name}"


def test_a_file_is_kept_for_good_under_its_release_and_unknown_under_another(client: TestClient) -> None:
    address = f"/static/{web_files().version}/js/main.js"
    reply = client.get(address)
    assert "immutable" in reply.headers["cache-control"]
    assert client.get("/static/000000000000/js/main.js").status_code == 404


def test_the_page_itself_is_asked_for_again_and_sent_only_when_it_changed(client: TestClient) -> None:
    reply = client.get("/")
    assert reply.headers["cache-control"] == "no-cache"
    again = client.get("/", headers={"If-None-Match": reply.headers["etag"]})
    assert again.status_code == 304
    assert again.content == b""
    assert client.head("/").status_code == 200


@pytest.mark.parametrize("name", ["../web_page.py", "..%2fweb_page.py", "%2e%2e/settings.py", "/etc/passwd", ""])
def test_no_file_but_the_pages_own_is_ever_sent(client: TestClient, name: str) -> None:
    assert client.get(f"/static/{web_files().version}/{name}").status_code == 404


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(WEB).as_posix())
def test_a_file_names_no_other_host_and_makes_no_markup_of_text(path: Path) -> None:
    content = path.read_text()
    foreign = set(re.findall(r"https?://[^\s\"'`)]+", content)) - {"http://www.w3.org/2000/svg"}
    assert not foreign
    if path.suffix == ".js":
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", content)
    if path.suffix == ".html":
        assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", content)
    assert content.count("\n") <= 400


def test_the_key_is_kept_nowhere_but_in_the_tab() -> None:
    for script in WEB.glob("js/*.js"):
        kept = re.findall(r"localStorage\.setItem\(([^,]+)", script.read_text())
        assert set(kept) <= {'"theme"'}, script.name
    assert "document.cookie" not in "".join(path.read_text() for path in WEB.glob("js/*.js"))


def test_the_page_of_the_api_may_run_the_blobs_that_it_fetched_with_the_key(client: TestClient) -> None:
    reply = client.get(f"/static/{web_files().version}/api.html")
    assert reply.headers["content-security-policy"] == web_page.API_PAGE_POLICY


def test_quoted_words_have_boxes_where_they_stand(client: TestClient, harbour: str) -> None:
    quote = "The channel is now 11.8 metres deep at lowest tide."
    boxes = client.get(f"/api/documents/{harbour}/pages/4/boxes", params={"quote": quote}).json()["boxes"]
    assert len(boxes) == 1
    left, top, width, height = boxes[0]
    assert 0 < left < left + width < 1
    assert 0.1 < top < 0.3
    assert 0 < height < 0.05


def test_words_that_a_page_does_not_have_have_no_boxes(client: TestClient, harbour: str) -> None:
    for page, quote in [(5, "The channel is now 11.8 metres deep"), (4, "no such words at all"), (99, "x"), (4, "!!")]:
        reply = client.get(f"/api/documents/{harbour}/pages/{page}/boxes", params={"quote": quote})
        assert reply.json() == {"boxes": []}


def test_a_quote_is_found_across_line_breaks_and_hyphens() -> None:
    assert quote_finder.significant("Low-\nest  TIDE, 11.8") == "lowesttide118"
