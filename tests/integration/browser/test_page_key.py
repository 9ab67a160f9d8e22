"""How the page asks for the key, keeps it and loses it; the gateway's refusals are played by the browser's routing."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, Route, expect

from tests.integration.browser.app_alone import App
from tests.integration.browser.appearance import faults_of_access, pale_texts
from tests.integration.browser.conftest import OpenPage
from tests.integration.browser.page import shoot, stored

pytestmark = pytest.mark.integration
KEY = "key-of-a-client-0123456789"


def guarded(page: Page, accepted: set[str]) -> None:
    """Everything under /api needs one of the accepted keys, as behind the gateway."""

    def check(route: Route) -> None:
        if route.request.headers.get("authorization", "").removeprefix("Bearer ") in accepted:
            route.continue_()
        else:
            route.fulfill(status=401, json={"error": {"message": "Missing or unknown key.", "code": "invalid_api_key"}})

    page.route("**/api/**", check)


def enter(page: Page, key: str) -> None:
    page.get_by_label("Key", exact=True).fill(key)
    page.keyboard.press("Enter")


def test_a_key_is_asked_for_once_and_kept_in_the_tab_only(app: App, open_page: OpenPage) -> None:
    watched = open_page(app.url, expected=(401,))
    guarded(watched.page, {KEY})
    page = watched.open("locked")
    expect(page.get_by_label("Key", exact=True)).to_be_focused()
    assert faults_of_access(page) == []
    assert pale_texts(page) == []
    enter(page, "wrong")
    expect(page.get_by_role("alert")).to_contain_text("This key is not accepted")
    expect(page.get_by_label("Key", exact=True)).to_be_focused()
    shoot(page, "key")
    enter(page, "")
    expect(page.get_by_role("alert")).to_contain_text("Enter a key first")
    enter(page, f"  Bearer {KEY} ")  # copied with what stands around it
    expect(page.get_by_role("textbox", name="Your question")).to_be_visible()
    page.reload()
    expect(page.get_by_role("textbox", name="Your question")).to_be_visible(timeout=15_000)
    assert KEY not in stored(page.context, page)
    assert not any(KEY in url for url in watched.requested)
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading", name="Enter your key")).to_be_visible(timeout=15_000)
    assert page.evaluate("sessionStorage.length") == 0


def test_a_key_that_is_withdrawn_closes_the_page_and_says_so(app: App, open_page: OpenPage) -> None:
    watched = open_page(app.url, expected=(401,))
    accepted = {KEY}
    guarded(watched.page, accepted)
    page = watched.open("locked")
    enter(page, KEY)
    expect(page.get_by_role("textbox", name="Your question")).to_be_visible()
    accepted.clear()
    page.reload()
    expect(page.get_by_role("alert")).to_contain_text("no longer accepted", timeout=15_000)
    expect(page.get_by_role("textbox", name="Your question")).to_be_hidden()
