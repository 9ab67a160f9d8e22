"""What cannot be fetched again is not removed before somebody agrees."""

from __future__ import annotations

import pytest

from machine.console import StepFailed
from machine.paths import REPOSITORY
from quickstart import down


@pytest.fixture
def removed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What `clean` has begun to remove; nothing is really removed."""
    begun: list[str] = []

    def remove(*_: object) -> int:
        begun.append("something")
        raise StepFailed("it goes on from here")

    monkeypatch.setattr(down.pulumi, "resource_count", remove)
    return begun


def hold(monkeypatch: pytest.MonkeyPatch, files: str | None) -> None:
    answers = {"volume": "pageindex-dev-documents\npageindex-dev-models\n", "run": files}
    monkeypatch.setattr(down, "_docker", lambda kind, *_: answers[kind])


def test_documents_are_not_removed_where_nobody_can_be_asked(
    monkeypatch: pytest.MonkeyPatch, removed: list[str]
) -> None:
    hold(monkeypatch, "contract.pdf 1234\n")
    with pytest.raises(StepFailed, match=r"pageindex-dev-documents \(1\).*nobody to ask") as refused:
        down.clean(confirmed=False)
    assert refused.value.mend == "make clean YES=1"
    assert removed == []


def test_only_a_whole_yes_is_a_yes(monkeypatch: pytest.MonkeyPatch, removed: list[str]) -> None:
    hold(monkeypatch, "contract.pdf 1234\n")
    monkeypatch.setattr(down.sys.stdin, "isatty", lambda: True)
    for said in ("", "y", "no"):
        monkeypatch.setattr("builtins.input", lambda _, said=said: said)
        with pytest.raises(StepFailed, match="nothing was removed"):
            down.clean(confirmed=False)
    assert removed == []
    monkeypatch.setattr("builtins.input", lambda _: " Yes ")
    with pytest.raises(StepFailed, match="goes on"):
        down.clean(confirmed=False)
    assert removed


def test_our_own_samples_are_no_loss(monkeypatch: pytest.MonkeyPatch, removed: list[str]) -> None:
    sample = REPOSITORY / "samples" / "harbour-report-2025.pdf"
    hold(monkeypatch, f"{sample.name} {sample.stat().st_size}\n")
    with pytest.raises(StepFailed, match="goes on"):
        down.clean(confirmed=False)
    assert removed


def test_a_volume_that_nobody_can_look_into_counts_as_a_loss(
    monkeypatch: pytest.MonkeyPatch, removed: list[str]
) -> None:
    hold(monkeypatch, None)
    with pytest.raises(StepFailed, match=r"\(\?\)"):
        down.clean(confirmed=False)
    assert removed == []


def test_confirmed_is_not_asked(monkeypatch: pytest.MonkeyPatch, removed: list[str]) -> None:
    hold(monkeypatch, "contract.pdf 1234\n")
    with pytest.raises(StepFailed, match="goes on"):
        down.clean(confirmed=True)


def test_down_says_what_stays(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(down.pulumi, "resource_count", lambda _: 53)
    monkeypatch.setattr(down.pulumi, "call", lambda *_: None)
    hold(monkeypatch, None)
    down.down()
    shown = capsys.readouterr().err
    assert "pageindex-dev-models: weights" in shown
    assert "gone      stack dev and the documents" in shown
