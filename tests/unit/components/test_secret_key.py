"""A generated key is one that every place takes."""

from __future__ import annotations

import re
import secrets

import pytest

from components.secret_key import MAKE_KEY


def test_a_key_never_begins_like_a_flag(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(secrets, "token_urlsafe", lambda count: "-" * 3 + "k" * (count + 8))
    exec(MAKE_KEY, {})  # noqa: S102 (our own line, as the command runs it)
    assert capsys.readouterr().out == "___" + "k" * 40


def test_a_key_has_the_characters_and_the_length_that_are_promised(capsys: pytest.CaptureFixture[str]) -> None:
    exec(MAKE_KEY, {})  # noqa: S102
    assert re.fullmatch(r"[A-Za-z0-9_]{43}", capsys.readouterr().out)
