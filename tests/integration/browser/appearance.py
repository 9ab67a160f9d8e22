"""What can be measured of how a page looks and of who can use it; the measuring itself is in appearance.js."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page

_SCRIPT = Path(__file__).with_name("appearance.js").read_text().strip()


def _faults(page: Page, of: str) -> list[str]:
    return list(page.evaluate(f"{_SCRIPT}.{of}()"))


def faults_of_access(page: Page) -> list[str]:
    """Elements without a name, ids used twice, controls too small to hit, and the like."""
    return _faults(page, "access")


def overflowing(page: Page) -> list[str]:
    """What reaches beyond the window's right edge."""
    return _faults(page, "overflow")


def pale_texts(page: Page) -> list[str]:
    """Texts with less contrast than WCAG's AA asks for."""
    return _faults(page, "contrast")
