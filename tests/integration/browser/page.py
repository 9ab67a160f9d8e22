"""A page in a real browser, watched: what it asks of other hosts, what its console says."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, ConsoleMessage, Locator, Page, Request, expect

from tests.integration.pulumi_project import REPOSITORY

SCREENSHOTS = REPOSITORY / "docs" / "screenshots"
# A machine whose containers come and go changes its networks, and Chromium then drops what is under way.
LOADS_MOST, LOAD_MS = 5, 15_000
LOST = re.compile(r"ERR_(NETWORK_CHANGED|INTERNET_DISCONNECTED)")


@dataclass
class Watched:
    """A page and what it did that it should not."""

    page: Page
    url: str
    expected: tuple[int, ...] = ()  # HTTP statuses that a test provokes; Chromium writes each to the console
    faults: list[str] = field(default_factory=list)
    requested: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.faults.append(f"uncaught: {error}"))
        self.page.on("request", self._asked)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type not in ("error", "warning") or LOST.search(message.text):
            return
        status = re.search(r"Failed to load resource: the server responded with a status of (\d+)", message.text)
        if status and int(status[1]) in self.expected:
            return
        self.faults.append(f"console: {message.text} ({message.location.get('url')})")

    def _asked(self, request: Request) -> None:
        self.requested.append(request.url)
        if urlsplit(request.url).scheme in ("http", "https", "ws", "wss") and not request.url.startswith(
            self.url + "/"
        ):
            self.faults.append(f"asked another host: {request.url}")

    def open(self, state: str = "open") -> Page:
        """Load the page until it has come to ``state``."""
        for attempt in range(LOADS_MOST):
            try:
                self.page.goto(self.url)
                self.page.locator(f"body[data-state={state}]").wait_for(timeout=LOAD_MS)
                return self.page
            except Exception:
                if attempt == LOADS_MOST - 1:
                    raise
        raise AssertionError("unreachable")

    def well(self) -> None:
        """Nothing was asked of another host, nothing was blocked, and no script failed."""
        assert self.faults == []


def shoot(page: Page, name: str) -> None:
    """Write a picture for the docs, when they are wanted: SCREENSHOTS=1."""
    if not os.environ.get("SCREENSHOTS"):
        return
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.wait_for_timeout(400)  # what moves has come to rest; a picture proves nothing
    page.screenshot(path=SCREENSHOTS / f"{name}.png")


def documents(page: Page, status: str = "") -> Locator:
    """The rows of the list, all or those of one status."""
    return page.locator("#documents .row" + (f"[data-status={status}]" if status else ""))


def add(page: Page, *files: Path) -> None:
    page.get_by_label("Files to add").set_input_files(list(files))


def ask(page: Page, question: str) -> Locator:
    """Send a question; its turn, at once."""
    turns = page.locator(".turn")
    before = turns.count()
    page.get_by_role("textbox", name="Your question").fill(question)
    page.keyboard.press("Enter")
    expect(turns).to_have_count(before + 1)
    return turns.nth(before)


def answered(turn: Locator, within_s: float = 60) -> Locator:
    """The answer's verdict, when it is there."""
    verdict = turn.locator(".support")
    expect(verdict).to_be_visible(timeout=within_s * 1000)
    return verdict


def context_settings(**more: object) -> dict[str, object]:
    return {"viewport": {"width": 1360, "height": 850}, "locale": "en-GB", "reduced_motion": "reduce", **more}


def stored(context: BrowserContext, page: Page) -> str:
    """All that outlives the tab."""
    return str(context.cookies()) + str(page.evaluate("JSON.stringify(Object.entries(localStorage))"))
