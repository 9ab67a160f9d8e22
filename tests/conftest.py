"""For all tests: one that takes over a minute says why, in its own docstring or in its module's."""

from __future__ import annotations

import pytest

SLOW_S = 60.0
REASON = "Takes over 60 s because "

_took_s: dict[str, float] = {}
_reasons: dict[str, bool] = {}


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Set-up that several tests share counts for the first of them."""
    _took_s[report.nodeid] = _took_s.get(report.nodeid, 0.0) + report.duration


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        function, module = getattr(item, "function", None), getattr(item, "module", None)
        said = [" ".join((getattr(each, "__doc__", None) or "").split()) for each in (function, module)]
        _reasons[item.nodeid] = any(REASON in text for text in said)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A line for each slow test without a reason; a busy machine makes some slow, so it is no failure."""
    slow = {name: took for name, took in _took_s.items() if took > SLOW_S and not _reasons.get(name, True)}
    for name, took in sorted(slow.items(), key=lambda entry: -entry[1]):
        terminalreporter.write_line(f"{took:.0f} s and no reason for it (`{REASON}…` in its docstring): {name}")
