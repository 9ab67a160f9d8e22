"""The documents check waits for indexing, and says what indexing says."""

from __future__ import annotations

from typing import Any, cast

import pytest

from checks import documents
from checks.asking import Asker
from host_access.outcome import CheckFailed

QUEUED = {"id": "doc-1", "name": "a.pdf", "status": "queued", "error": None}


class Scripted:
    """Answers GET with one state after the other."""

    def __init__(self, *states: dict[str, Any]):
        self._states = iter(states)

    def request(self, *_: object) -> Scripted:
        return self

    def json(self) -> dict[str, Any]:
        return {**QUEUED, **next(self._states)}

    def failure(self, expected: str, got: str, do: str = "") -> CheckFailed:
        return CheckFailed(expected=expected, got=got, do=do)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "POLL_S", 0.0)


def test_a_queued_document_is_waited_for() -> None:
    app = Scripted({"status": "indexing"}, {"status": "ready"})
    assert documents.indexed(cast(Asker, app), dict(QUEUED))["status"] == "ready"


def test_one_that_fails_ends_the_check_with_the_apps_own_words() -> None:
    error = {"code": "damaged", "message": "The file is damaged.", "hint": "Export it anew."}
    app = Scripted({"status": "failed", "error": error})
    with pytest.raises(CheckFailed) as failed:
        documents.indexed(cast(Asker, app), dict(QUEUED))
    assert (failed.value.got, failed.value.do) == ("The file is damaged.", "Export it anew.")


def test_one_that_never_ends_is_given_up_and_says_what_it_waits_for() -> None:
    waiting = {
        "error": {"code": "model_unavailable", "message": "The language model is not available.", "hint": "Wait."}
    }
    with pytest.raises(CheckFailed) as failed:
        documents.indexed(cast(Asker, Scripted()), {**QUEUED, **waiting}, within_s=-1.0)
    assert failed.value.got == "The language model is not available."
