"""The web page as a person gets it: the deployed stack, its gateway, its key, a real model.

Takes over 60 s because the stack comes up for the first test that asks it.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.integration.browser.conftest import OpenPage
from tests.integration.browser.page import Watched, add, answered, ask, documents, shoot, stored
from tests.integration.conftest import Stack

pytestmark = pytest.mark.integration
HARBOUR = "harbour-report-2025.pdf"
INDEXED_MS, ANSWERED_S = 600_000, 200  # a real model on two busy cores


def enter(page: Page, key: str) -> None:
    page.get_by_label("Key", exact=True).fill(key)
    page.keyboard.press("Enter")


def locked(stack: Stack, open_page: OpenPage) -> tuple[Watched, str]:
    outputs = stack.project.outputs()
    watched = open_page(outputs["app_url"], expected=(401,))
    watched.open("locked")
    return watched, outputs["api_key"]


def test_a_wrong_key_is_refused_in_words_and_the_right_one_is_kept_for_the_tab_only(
    stack: Stack, open_page: OpenPage
) -> None:
    watched, key = locked(stack, open_page)
    page = watched.page
    expect(page.get_by_label("Key", exact=True)).to_be_focused()
    enter(page, "no-such-key")
    expect(page.get_by_role("alert")).to_contain_text("not accepted")
    expect(page.get_by_role("textbox", name="Your question")).to_be_hidden()
    shoot(page, "key")
    enter(page, key)
    expect(page.locator("body[data-state=open]")).to_be_visible(timeout=15_000)
    expect(page.get_by_role("textbox", name="Your question")).to_be_visible()
    page.reload()
    expect(page.locator("body[data-state=open]")).to_be_visible(timeout=15_000)
    assert key not in stored(page.context, page)
    assert not any(key in url for url in watched.requested)
    page.get_by_role("button", name="Log out").click()
    expect(page.locator("body[data-state=locked]")).to_be_visible(timeout=15_000)
    page.reload()
    expect(page.locator("body[data-state=locked]")).to_be_visible(timeout=15_000)
    assert page.evaluate("sessionStorage.length") == 0


def test_from_a_file_to_the_quoted_words_on_its_page(stack: Stack, open_page: OpenPage, samples: Path) -> None:
    watched, key = locked(stack, open_page)
    page = watched.page
    enter(page, key)
    expect(page.locator("body[data-state=open]")).to_be_visible(timeout=15_000)
    add(page, samples / HARBOUR)
    row = documents(page).filter(has_text=HARBOUR)
    expect(row).to_be_visible(timeout=30_000)
    expect(documents(page, "ready").filter(has_text=HARBOUR)).to_be_visible(timeout=INDEXED_MS)
    page.get_by_role("checkbox", name=f"Ask {HARBOUR}").check()
    turn = ask(page, "How deep is the approach channel at lowest tide?")
    answered(turn, ANSWERED_S)
    expect(turn.locator(".prose")).to_contain_text("11.8")
    citation = turn.locator(".citation").first
    expect(citation).to_contain_text("page 4")
    citation.click()
    expect(page.get_by_role("img", name="Page 4")).to_be_visible(timeout=60_000)
    expect(page.locator(".page-frame[data-marked=true]")).to_be_visible(timeout=30_000)
    shoot(page, "stack")


def test_the_api_page_opens_behind_the_gateway(stack: Stack, open_page: OpenPage) -> None:
    watched, key = locked(stack, open_page)
    enter(watched.page, key)
    watched.page.get_by_role("link", name="API").click(timeout=15_000)
    expect(watched.page.get_by_text("/api/ask")).to_be_visible(timeout=30_000)
