"""How set-up steps show themselves and fail."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from machine.console import Step, StepFailed, duration, main_guard, run, step


def test_a_step_says_how_it_ended(capsys: pytest.CaptureFixture[str]) -> None:
    with step("Build") as current:
        current.result("cached")
    assert capsys.readouterr().err.startswith("✓ Build: cached (")


def test_a_step_without_result_is_neither_done_nor_failed(capsys: pytest.CaptureFixture[str]) -> None:
    with step("Pull the image") as current:
        current.without_result("not possible, a stand-in takes its place")
    assert capsys.readouterr().err.startswith("– Pull the image: not possible, a stand-in takes its place (")


def test_a_failing_step_is_marked(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(StepFailed), step("Build"):
        raise StepFailed("no")
    assert capsys.readouterr().err.startswith("✗ Build: failed (")


def test_a_failing_command_shows_its_last_lines_and_the_mending_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log"
    code = "print('first'); print('the reason'); raise SystemExit(3)"

    def work() -> None:
        run([sys.executable, "-c", code], Step("x"), log=log, mend="apt-get install it")

    assert main_guard(work) == 1
    told = capsys.readouterr().err
    assert "exit code 3" in told
    assert "  | the reason" in told
    assert "mend:  apt-get install it" in told
    assert "first" in log.read_text()


def test_a_missing_command_is_named(tmp_path: Path) -> None:
    with pytest.raises(StepFailed, match="no-such-program is not installed"):
        run(["no-such-program"], Step("x"), log=tmp_path / "log")


@pytest.mark.parametrize(("seconds", "text"), [(0.42, "0.4 s"), (12.3, "12 s"), (185, "3 min 05 s")])
def test_durations_read_well(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_bar_fills_up() -> None:
    current = Step("x")
    current.progress(50, 100, "MiB")
    assert f"[{'#' * 12}{'.' * 12}] 50/100 MiB" in current.status()
