"""`python3 -m lab`: what it prints, and how fast."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lab import __main__ as command
from lab import engine

REPOSITORY = Path(__file__).parents[3]


def test_env_prints_the_engine_in_use(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PAGEINDEX_STACK_CACHE", str(tmp_path))
    monkeypatch.setattr(engine, "docker_host_in_use", lambda: "unix:///run/x.sock")
    assert command.main(["env"]) == 0
    assert capsys.readouterr().out == "export DOCKER_HOST=unix:///run/x.sock\n"


def test_env_prints_nothing_where_nothing_of_the_lab_is_in_use(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PAGEINDEX_STACK_CACHE", str(tmp_path))
    monkeypatch.setattr(engine, "docker_host_in_use", lambda: None)
    assert command.main(["env"]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("arguments", [[], ["jump"], ["up", "now"]])
def test_a_wrong_command_line_shows_the_right_ones(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(arguments) == 2
    assert "usage: python3 -m lab COMMAND" in capsys.readouterr().err


def test_the_lab_is_unknown_to_the_program_that_users_run() -> None:
    for directory in ("components", "planning", "host_access", "checks", "rollout"):
        for file in (REPOSITORY / directory).rglob("*.py"):
            assert not re.search(r"^\s*(from|import) lab\b", file.read_text(), re.MULTILINE), file
    assert not re.search(r"\blab\b", (REPOSITORY / "__main__.py").read_text())
