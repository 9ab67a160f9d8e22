"""What counts as an answer, and how a failing check speaks."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from checks.answers import nonsense
from host_access.outcome import CheckFailed


@pytest.mark.parametrize("text", ["!!!!!!!!!!!!!!!!", "", "   \n", "!!!!!!!!!!!! a", "0000000000"])
def test_degenerate_output_is_no_answer(text: str) -> None:
    assert nonsense(text)


@pytest.mark.parametrize("text", ["The capital of France is Paris.", "Paris", "No!!!", "42"])
def test_a_short_plain_answer_is_one(text: str) -> None:
    assert nonsense(text) == ""


def test_a_failure_says_expected_got_what_to_do_and_the_last_log_lines() -> None:
    text = CheckFailed(expected="a", got="b", do="c", container="vllm", log=["out of memory"]).report()
    assert text.splitlines() == [
        "expected: a", "got:      b", "do:       c", "last log lines of vllm:", "  | out of memory",
    ]  # fmt: skip


def test_a_failing_check_ends_with_code_1_and_reports_on_stderr() -> None:
    facts = {"container": "pageindex-test-nothing", "what": "nothing", "timeout_s": 1, "docker_host": "unix:///nowhere"}
    done = subprocess.run(
        [sys.executable, "-m", "checks", "healthy"],
        input=json.dumps(facts),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert "expected:" in done.stderr
    assert "do:" in done.stderr
