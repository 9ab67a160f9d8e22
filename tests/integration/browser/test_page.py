"""The web page in a real browser, before the real app with a scripted model."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.integration.browser.app_alone import App, app_python
from tests.integration.browser.conftest import OpenPage
from tests.integration.browser.page import add, answered, ask, documents, shoot

pytestmark = pytest.mark.integration
HARBOUR = "harbour-report-2025.pdf"
QUESTION = "How deep is the approach channel at lowest tide?"
INDEXED_MS = 120_000


def indexed(page: Page, count: int) -> None:
    expect(documents(page, "ready")).to_have_count(count, timeout=INDEXED_MS)


def fill_library(app: App, samples: Path, *names: str) -> None:
    app.upload(*((name, (samples / name).read_bytes()) for name in names))
    app.all_indexed(len(names))


def test_an_empty_library_says_what_to_do(app: App, open_page: OpenPage) -> None:
    page = open_page(app.url).open()
    expect(page.get_by_text("Drop files here")).to_be_visible()
    expect(page.get_by_role("heading", name="Ask your documents")).to_be_visible()
    expect(page.get_by_text("Add a document first")).to_be_visible()
    shoot(page, "empty")


def test_added_files_are_indexed_before_ones_eyes(app: App, open_page: OpenPage, samples: Path) -> None:
    app.model.delay_s = 0.4
    page = open_page(app.url).open()
    add(page, samples / HARBOUR, samples / "tide-buoy-manual.md", samples / "warehouse-lease.pdf")
    working = page.locator("#documents .row:is([data-status=queued], [data-status=indexing])")
    expect(working.first).to_be_visible()
    expect(working.first.get_by_role("checkbox")).to_be_disabled()
    expect(documents(page, "indexing").first.locator(".row-facts")).not_to_be_empty()
    shoot(page, "indexing")
    indexed(page, 3)
    expect(documents(page).filter(has_text=HARBOUR)).to_contain_text("7 pages")
    expect(page.get_by_text("Asking all 3 documents")).to_be_visible()


def test_a_dropped_folder_brings_all_its_readable_files(app: App, open_page: OpenPage, tmp_path: Path) -> None:
    (tmp_path / "papers" / "inner").mkdir(parents=True)
    (tmp_path / "papers" / "one.md").write_text("# One\n\nThe first paper.")
    (tmp_path / "papers" / "inner" / "two.txt").write_text("The second paper is about tides.")
    (tmp_path / "papers" / "picture.gif").write_bytes(b"GIF89a")
    page = open_page(app.url).open()
    session = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(tmp_path / "papers")], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, "x": 600, "y": 400, "data": data})
        if kind == "dragOver":  # a drop counts only once the page has said that it takes it
            expect(page.get_by_text("Drop to add")).to_be_visible()
            page.evaluate("new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
    expect(page.get_by_text("1 file left out")).to_be_visible()
    indexed(page, 2)
    expect(page.get_by_text("Drop to add")).to_be_hidden()


def test_an_answer_leads_to_the_quoted_words_on_their_page(app: App, open_page: OpenPage, samples: Path) -> None:
    fill_library(app, samples, HARBOUR, "warehouse-lease.pdf", "tide-buoy-manual.md")
    app.model.delay_s, app.model.delay_per_token_s = 0.3, 0.05
    page = open_page(app.url).open()
    turn = ask(page, QUESTION)
    expect(turn.locator(".stages")).to_contain_text("Choosing sections")
    expect(turn.locator(".stages")).to_contain_text("Answering")
    shoot(page, "asking")
    expect(answered(turn)).to_contain_text("Supported")
    expect(turn.locator(".prose")).to_contain_text("11.8 metres")
    shoot(page, "answer")

    citation = turn.get_by_role("button", name=HARBOUR).first
    expect(citation).to_contain_text("page 4")
    citation.click()
    reader = page.get_by_role("region", name="Document", exact=True)
    expect(reader.get_by_label("Page", exact=True).and_(page.get_by_role("spinbutton"))).to_have_value("4")
    expect(reader.get_by_role("img", name="Page 4")).to_be_visible()
    expect(reader.locator(".page-frame[data-marked=true]")).to_be_visible(timeout=30_000)
    box, sheet = reader.locator(".mark-box").first.bounding_box(), reader.locator(".sheet").bounding_box()
    assert box
    assert sheet
    assert 0.1 < (box["y"] - sheet["y"]) / sheet["height"] < 0.3, "the sentence stands in the page's upper third"
    expect(reader.get_by_role("treeitem", name="3. Works and Maintenance")).to_have_attribute("aria-selected", "true")
    shoot(page, "citation")

    reader.get_by_role("button", name="Text", exact=True).click()
    expect(reader.locator("mark").filter(has_text="The channel is now 11.8 metres deep")).to_be_visible()
    reader.get_by_role("button", name="Next page").click()
    expect(reader.get_by_role("article", name="Text of page 5")).to_contain_text("Safety and Environment")
    reader.get_by_role("button", name="Back to the quote on page 4").click()
    expect(reader.locator("mark").first).to_be_visible()


def test_what_an_answer_rests_on_is_said_as_it_is(app: App, open_page: OpenPage, samples: Path) -> None:
    fill_library(app, samples, HARBOUR)
    app.model.answer = lambda body: "Purple elephants govern 99 moons."
    page = open_page(app.url).open()
    turn = ask(page, QUESTION)
    expect(answered(turn)).to_contain_text("Quoted")
    expect(turn.locator(".prose")).not_to_contain_text("elephants")  # what streamed was not borne out
    turn = ask(page, "Xylophone zebra quartz?")
    expect(answered(turn)).to_contain_text("No support found")
    expect(turn.locator(".citation")).to_have_count(0)


def test_a_chapter_of_markdown_is_shown_as_text_with_its_quote(app: App, open_page: OpenPage, samples: Path) -> None:
    fill_library(app, samples, "tide-buoy-manual.md")
    page = open_page(app.url).open()
    turn = ask(page, "For how many hours must the battery be charged before the first use?")
    answered(turn)
    turn.locator(".citation").first.click()
    expect(page.locator(".page-text mark").first).to_be_visible()
    expect(page.locator(".page-text mark").filter(has_text="9 hours")).to_be_visible()
    expect(page.get_by_role("button", name="Next chapter")).to_be_visible()


def test_only_chosen_documents_are_asked(app: App, open_page: OpenPage, samples: Path) -> None:
    fill_library(app, samples, HARBOUR, "warehouse-lease.pdf", "tide-buoy-manual.md")
    page = open_page(app.url).open()
    page.get_by_role("checkbox", name="Ask warehouse-lease.pdf").check()
    expect(page.locator(".scope")).to_contain_text("warehouse-lease.pdf")
    with page.expect_request("**/api/ask") as asking:
        turn = ask(page, "How much is the rent per month?")
    chosen = asking.value.post_data_json["document_ids"]
    assert [doc["name"] for doc in app.all_indexed(3) if doc["id"] in chosen] == ["warehouse-lease.pdf"]
    answered(turn)
    expect(turn.locator(".citation").first).to_contain_text("warehouse-lease.pdf")
    page.get_by_role("button", name="Ask all documents again").click()
    expect(page.get_by_text("Asking all 3 documents")).to_be_visible()


def test_a_stopped_answer_stops_the_model_too(app: App, open_page: OpenPage, samples: Path) -> None:
    fill_library(app, samples, HARBOUR)
    app.model.answer = lambda body: "word " * 400
    app.model.delay_per_token_s = 0.1
    hung_up = app.model.hung_up
    page = open_page(app.url).open()
    turn = ask(page, QUESTION)
    expect(turn.locator(".prose")).to_contain_text("word word", timeout=20_000)
    page.get_by_role("button", name="Stop the answer").click()
    expect(turn.get_by_text("Stopped")).to_be_visible()
    expect(page.get_by_role("button", name="Send the question")).to_be_visible()
    for _ in range(100):
        if app.model.hung_up > hung_up:
            break
        page.wait_for_timeout(100)  # between two looks
    assert app.model.hung_up > hung_up, "the model went on"
    app.scripted()
    turn.get_by_role("button", name="Ask again").click()
    expect(page.locator(".turn .support.supported")).to_be_visible(timeout=30_000)


def test_conversations_are_kept_continued_and_deleted(app: App, open_page: OpenPage, samples: Path) -> None:
    fill_library(app, samples, HARBOUR)
    page = open_page(app.url).open()
    answered(ask(page, QUESTION))
    answered(ask(page, "Who dredged the approach channel?"))
    page.reload()
    expect(page.locator(".turn")).to_have_count(2)
    expect(page.locator(".turn").last).to_contain_text("Halvorsen")
    page.get_by_role("button", name="New", exact=True).click()
    expect(page.locator(".turn")).to_have_count(0)
    page.get_by_role("tab", name="Conversations").click()
    kept = page.get_by_role("list", name="Conversations").get_by_role("listitem")
    expect(kept).to_have_count(1)
    kept.get_by_role("button", name=QUESTION).first.click()
    expect(page.locator(".turn")).to_have_count(2)
    shoot(page, "conversations")
    page.get_by_role("button", name=f"Delete: {QUESTION}").click()
    expect(page.locator(".turn")).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    expect(kept).to_have_count(1)
    page.get_by_role("button", name=f"Delete: {QUESTION}").click()
    page.get_by_role("button", name="Dismiss").click()
    expect(page.get_by_text("Questions and answers are kept here")).to_be_visible()
    with app.client() as client:
        assert client.get("/api/conversations").json()["conversations"] == []


def test_a_file_that_cannot_be_read_says_why_and_stops_no_other(app: App, open_page: OpenPage, tmp_path: Path) -> None:
    scanned = tmp_path / "scanned-letter.pdf"
    scanned.write_bytes(app_python("import pdfs, sys; sys.stdout.buffer.write(pdfs.pdf(pdfs.PICTURE))"))
    no_pdf = tmp_path / "no-pdf.pdf"
    no_pdf.write_bytes(b"MZ this is a program")
    good = tmp_path / "good.md"
    good.write_text("# Good\n\nThis one can be read.")
    page = open_page(app.url, expected=(415,)).open()
    add(page, scanned, no_pdf, good)
    refused = page.get_by_role("list", name="Uploads").get_by_role("listitem").filter(has_text="no-pdf.pdf")
    expect(refused).to_contain_text("Not added")
    expect(refused.locator(".row-fault")).not_to_be_empty()
    failed = documents(page, "failed")
    expect(failed).to_contain_text("scanned-letter.pdf", timeout=INDEXED_MS)
    expect(failed.locator(".row-fault p")).to_have_count(2)  # the reason, and what mends it
    indexed(page, 1)
    shoot(page, "failed")
    refused.get_by_role("button", name="Dismiss: no-pdf.pdf").click()
    expect(refused).to_have_count(0)
    failed.hover()
    failed.get_by_role("button", name="Delete: scanned-letter.pdf").click()
    expect(documents(page)).to_have_count(1)
    page.get_by_role("button", name="Dismiss").click()
    expect(page.get_by_text("deleted.")).to_be_hidden()
    app.all_indexed(1)
    page.reload()
    expect(documents(page)).to_have_count(1)


def test_a_deleted_document_can_be_brought_back(app: App, open_page: OpenPage, samples: Path) -> None:
    fill_library(app, samples, "tide-buoy-manual.md")
    page = open_page(app.url).open()
    documents(page).hover()
    page.get_by_role("button", name="Delete: tide-buoy-manual.md").click()
    expect(documents(page)).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    expect(documents(page, "ready")).to_have_count(1)
    assert len(app.all_indexed(1)) == 1


def test_a_document_can_be_indexed_again(app: App, open_page: OpenPage, samples: Path) -> None:
    fill_library(app, samples, "tide-buoy-manual.md")
    app.model.delay_s = 0.3
    page = open_page(app.url).open()
    documents(page).hover()
    page.get_by_role("button", name="Index again: tide-buoy-manual.md").click()
    expect(documents(page).locator(".row-facts")).not_to_contain_text("9 chapters")
    indexed(page, 1)


def test_no_text_of_a_document_or_an_answer_becomes_markup(app: App, open_page: OpenPage, tmp_path: Path) -> None:
    evil = "<img src=x onerror=window.evil=1><script>window.evil=1</script>[click](javascript:window.evil=1)"
    paper = tmp_path / "<b>paper<img src=x onerror=evil()>.md".replace("/", "")
    paper.write_text(f"# Chapter {evil}\n\nThe tide rises four metres. {evil}\n")
    app.model.answer = lambda body: f"The tide rises four metres. {evil}"
    page = open_page(app.url).open()
    add(page, paper)
    indexed(page, 1)
    turn = ask(page, "How far does the tide rise?")
    answered(turn)
    documents(page).locator("button.row-open").click()
    expect(page.locator(".page-text")).to_contain_text("The tide rises four metres.")
    assert page.evaluate("window.evil") is None
    assert page.locator("#talk img, #talk script, #talk a, #reader script, #reader a, #documents img").count() == 0
