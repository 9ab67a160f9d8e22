"""Debian's Chromium, and pages in it that are looked over when a test ends."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright", reason="the tests' packages are not installed: make test")

from playwright.sync_api import Browser, sync_playwright

from machine.python_env import APP_TESTS
from tests.integration.browser.app_alone import App, app_alone
from tests.integration.browser.page import Watched, context_settings

CHROMIUM = shutil.which("chromium")
# In a container there is no sandbox for root, and /dev/shm may be small.
FLAGS = ["--no-sandbox", "--disable-dev-shm-usage"]
OpenPage = Callable[..., Watched]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no chromium here: apt-get install chromium")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def app_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    if not APP_TESTS.python().exists():
        pytest.skip("the app's packages are not installed: make check")
    with app_alone(tmp_path_factory.mktemp("app")) as app:
        yield app


@pytest.fixture
def app(app_process: App) -> Iterator[App]:
    """The app, empty, with a model that does as it should."""
    app_process.scripted()
    app_process.empty()
    yield app_process
    app_process.scripted()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OpenPage]:
    """``open_page(url, expected=(503,), viewport=…)`` is a page of its own browser session; all are well at the end."""
    opened: list[Watched] = []

    def make(url: str, expected: tuple[int, ...] = (), **settings: Any) -> Watched:
        context = browser.new_context(**context_settings(**settings))
        opened.append(Watched(context.new_page(), url.rstrip("/"), expected))
        return opened[-1]

    yield make
    for watched in opened:
        watched.page.context.close()
    for watched in opened:
        watched.well()


@pytest.fixture(scope="session")
def samples() -> Path:
    return Path(__file__).resolve().parents[3] / "samples"
