"""The web page when things are away, many, narrow or dark, and without a mouse."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Route, expect

from tests.integration.browser.app_alone import App
from tests.integration.browser.appearance import faults_of_access, overflowing, pale_texts
from tests.integration.browser.conftest import OpenPage
from tests.integration.browser.page import add, answered, ask, documents, shoot
from tests.integration.browser.test_page import HARBOUR, QUESTION, fill_library, indexed

pytestmark = pytest.mark.integration
PHONE = {"viewport": {"width": 390, "height": 800}, "has_touch": True, "is_mobile": True}
BACK_WITHIN_MS = 30_000


def test_a_model_that_is_away_is_said_and_its_return_is_noticed(app: App, open_page: OpenPage, samples: Path) -> None:
    fill_library(app, samples, HARBOUR)
    page = open_page(app.url, expected=(503,)).open()
    app.model.failing = 503
    turn = ask(page, QUESTION)
    expect(turn.get_by_role("alert")).to_contain_text("language model is not available", timeout=60_000)
    banner = page.locator(".banner")
    expect(banner).to_contain_text("language model is not available", timeout=BACK_WITHIN_MS)
    expect(banner).to_contain_text("recovers by itself")
    shoot(page, "model-away")
    documents(page).locator("button.row-open").click()  # reading needs no model
    expect(page.get_by_role("img", name="Page 1")).to_be_visible(timeout=30_000)
    page.keyboard.press("Escape")
    app.model.failing = None
    expect(banner).to_be_hidden(timeout=BACK_WITHIN_MS)
    expect(page.get_by_text("Everything is back")).to_be_visible()
    turn.get_by_role("button", name="Ask again").click()
    expect(page.locator(".turn .support.supported")).to_be_visible(timeout=60_000)


def test_a_question_that_is_faster_than_the_list_of_documents_waits_for_it(
    app: App, open_page: OpenPage, samples: Path
) -> None:
    fill_library(app, samples, HARBOUR)
    watched = open_page(app.url)
    held: list[Route] = []
    watched.page.route("**/api/documents?limit=500*", lambda route: held.append(route))
    with watched.page.expect_request("**/api/documents?limit=500*"):
        page = watched.open()
    page.get_by_role("textbox", name="Your question").fill(QUESTION)
    page.keyboard.press("Enter")
    expect(page.get_by_role("textbox", name="Your question")).to_have_value(QUESTION)
    for route in held:
        route.continue_()
    expect(answered(page.locator(".turn"))).to_contain_text("Supported")


def test_a_lost_connection_is_said_and_what_changed_meanwhile_is_shown(
    app: App, open_page: OpenPage, samples: Path
) -> None:
    page = open_page(app.url).open()
    page.context.set_offline(True)
    expect(page.locator(".banner")).to_contain_text("cannot be reached", timeout=BACK_WITHIN_MS)
    fill_library(app, samples, "tide-buoy-manual.md")
    page.context.set_offline(False)
    expect(page.locator(".banner")).to_be_hidden(timeout=BACK_WITHIN_MS)
    indexed(page, 1)


def test_a_file_that_came_while_the_service_was_busy_is_sent_again(
    app: App, open_page: OpenPage, samples: Path
) -> None:
    page = open_page(app.url, expected=(429,)).open()
    refusals = iter([429])

    def busy(route: Route) -> None:
        status = next(refusals, None) if route.request.method == "POST" else None
        if status:
            route.fulfill(status=status, json={"error": {"message": "Too many requests."}})
        else:
            route.continue_()

    page.route("**/api/documents", busy)
    add(page, samples / "tide-buoy-manual.md")
    indexed(page, 1)
    assert next(refusals, None) is None, "the page was refused once"


def test_forty_documents_stay_easy_to_use(app: App, open_page: OpenPage) -> None:
    port_names = ("Aalsund", "Birkvik", "Corran", "Dunmore", "Eidhavn", "Farsund", "Gannet", "Holm")
    for number in range(40):
        name = f"{port_names[number % 8]} log {number:02}.md"
        app.upload((name, f"# Log {number}\n\nOn day {number} the keeper counted {number * 7} gulls.".encode()))
    app.all_indexed(40)
    page = open_page(app.url).open()
    expect(documents(page, "ready")).to_have_count(40)
    expect(page.get_by_role("tab", name="Documents")).to_contain_text("40")
    shoot(page, "forty-documents")
    search = page.get_by_role("searchbox", name="Find documents")
    search.fill("gannet")
    expect(documents(page)).to_have_count(5)
    page.get_by_role("checkbox", name="Choose all shown").check()
    expect(page.locator(".scope")).to_contain_text("5 documents")
    search.fill("keeper counted 119 gulls")
    hit = page.get_by_role("list", name="Found in the text").get_by_role("button").first
    expect(hit).to_contain_text("log 17.md")
    hit.click()
    expect(page.locator(".page-text")).to_contain_text("119 gulls")
    page.keyboard.press("Escape")
    search.fill("")
    expect(documents(page)).to_have_count(40)
    page.get_by_role("button", name="Delete…").click()
    dialog = page.get_by_role("dialog", name="Delete 5 documents?")
    dialog.get_by_role("button", name="Delete 5").click()
    expect(documents(page)).to_have_count(35)


def test_a_phone_shows_one_thing_at_a_time_and_nothing_wider_than_itself(
    app: App, open_page: OpenPage, samples: Path
) -> None:
    fill_library(app, samples, HARBOUR, "tide-buoy-manual.md")
    page = open_page(app.url, **PHONE).open()
    expect(page.get_by_role("textbox", name="Your question")).to_be_visible()
    expect(page.get_by_role("list", name="Documents")).to_be_hidden()
    page.get_by_role("button", name="Documents", exact=True).tap()
    expect(documents(page)).to_have_count(2)
    assert overflowing(page) == []
    shoot(page, "phone-documents")
    page.get_by_role("button", name="Ask", exact=True).tap()
    turn = ask(page, QUESTION)
    answered(turn)
    assert overflowing(page) == []
    shoot(page, "phone-answer")
    turn.locator(".citation").first.tap()
    expect(page.locator(".page-frame[data-marked=true]")).to_be_visible(timeout=30_000)
    assert overflowing(page) == []
    assert faults_of_access(page) == []
    shoot(page, "phone-citation")
    page.get_by_role("button", name="Sections").tap()
    page.get_by_role("treeitem", name="5. Finance").tap()
    expect(page.get_by_role("img", name="Page 6")).to_be_visible(timeout=30_000)
    page.get_by_role("button", name="Close the document").tap()
    expect(turn).to_be_visible()
    turn.locator(".citation").first.tap()
    page.get_by_role("button", name="Ask this").tap()
    expect(page.locator(".scope")).to_contain_text(HARBOUR)
    expect(page.get_by_role("textbox", name="Your question")).to_be_focused()


def test_dark_is_dark_and_stays_so(app: App, open_page: OpenPage, samples: Path) -> None:
    fill_library(app, samples, HARBOUR)
    page = open_page(app.url, color_scheme="dark").open()
    turn = ask(page, QUESTION)
    answered(turn)
    turn.locator(".citation").first.click()
    expect(page.locator(".page-frame[data-marked=true]")).to_be_visible(timeout=30_000)
    assert pale_texts(page) == []
    shoot(page, "dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(ground)
    theme = page.get_by_role("button", name="Theme: as the system")
    theme.click()
    assert page.evaluate(ground) != dark, "light, though the system is dark"
    page.get_by_role("button", name="Theme: light").click()
    assert page.evaluate(ground) == dark
    page.reload()
    expect(page.get_by_role("button", name="Theme: dark")).to_be_visible()


def test_all_of_it_works_with_the_keyboard_alone(app: App, open_page: OpenPage, samples: Path) -> None:
    fill_library(app, samples, HARBOUR, "tide-buoy-manual.md")
    page = open_page(app.url).open()
    focused = page.locator(":focus")
    expect(page.get_by_role("textbox", name="Your question")).to_be_focused()
    page.keyboard.type(QUESTION)
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("Be brief.")
    expect(page.locator(".turn")).to_have_count(0)
    page.keyboard.press("Enter")
    answered(page.locator(".turn"))
    for _ in range(8):  # back over the sending button, the scope and the answer's actions to its citation
        page.keyboard.press("Shift+Tab")
        if "citation" in (focused.get_attribute("class") or ""):
            break
    page.keyboard.press("Enter")
    expect(page.locator(".page-frame[data-marked=true]")).to_be_visible(timeout=30_000)
    expect(page.get_by_role("heading", name=HARBOUR)).to_be_focused()
    for _ in range(8):
        page.keyboard.press("Tab")
        if focused.get_attribute("role") == "treeitem":
            break
    page.keyboard.press("Home")
    for _ in range(4):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.get_by_role("img", name="Page 5")).to_be_visible(timeout=30_000)
    page.keyboard.press("Escape")
    expect(page.get_by_role("region", name="Document", exact=True)).to_be_hidden()
    expect(page.locator(".citation").first).to_be_focused()
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.keyboard.type("tide")
    expect(documents(page)).to_have_count(1)
    page.keyboard.press("Escape")
    expect(documents(page)).to_have_count(2)
    skip = page.get_by_role("link", name="Skip to the question")
    for _ in range(20):
        page.keyboard.press("Shift+Tab")
        if skip.evaluate("(link) => link === document.activeElement"):
            break
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.get_by_role("textbox", name="Your question")).to_be_focused()


def test_everything_has_a_name_a_role_and_enough_contrast(app: App, open_page: OpenPage, samples: Path) -> None:
    fill_library(app, samples, HARBOUR, "tide-buoy-manual.md")
    page = open_page(app.url).open()
    assert faults_of_access(page) == []
    turn = ask(page, QUESTION)
    answered(turn)
    assert faults_of_access(page) == []
    assert pale_texts(page) == []
    turn.locator(".citation").first.click()
    expect(page.locator(".page-frame[data-marked=true]")).to_be_visible(timeout=30_000)
    assert faults_of_access(page) == []
    assert pale_texts(page) == []


def test_a_page_left_open_hears_of_files_that_others_add(app: App, open_page: OpenPage, samples: Path) -> None:
    mine, theirs = open_page(app.url).open(), open_page(app.url).open()
    add(theirs, samples / "tide-buoy-manual.md")
    indexed(mine, 1)


def test_the_api_is_described_without_another_host(app: App, open_page: OpenPage) -> None:
    page = open_page(app.url).open()
    page.get_by_role("link", name="API").click()
    expect(page.get_by_text("/api/ask")).to_be_visible(timeout=30_000)
