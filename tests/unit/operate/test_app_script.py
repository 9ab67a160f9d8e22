"""Scripts that are run in the app's environment: what they find, what they say, how they end."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import pytest

from machine import python_env
from machine.console import Step, StepFailed
from operate import app_script


@pytest.fixture(autouse=True)
def this_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(python_env.APP_TESTS.__class__, "ensure", lambda self: None)
    monkeypatch.setattr(python_env.APP_TESTS.__class__, "python", lambda self: Path(sys.executable))


def script(folder: Path, text: str) -> Path:
    path = folder / "script.py"
    path.write_text(f"import json, os, sys\n{text}")
    return path


def test_what_a_script_prints_is_what_it_found(tmp_path: Path) -> None:
    answers = script(
        tmp_path, 'print("half", file=sys.stderr)\nprint(json.dumps([*sys.argv[1:], os.environ["ASKED"]]))'
    )
    step = Step("Ask")
    assert app_script.found_by(answers, ["1", "2"], step, {"ASKED": "3"}) == ["1", "2", "3"]


def test_much_output_before_the_first_word_of_progress_does_not_block_it(tmp_path: Path) -> None:
    answers = script(tmp_path, 'print(json.dumps("x" * 300_000), flush=True)\nprint("done", file=sys.stderr)')
    assert len(app_script.found_by(answers, [], Step("Ask"))) == 300_000


def test_a_script_that_breaks_off_fails_with_its_last_words(tmp_path: Path) -> None:
    broken = script(tmp_path, 'print("question 7 of 72", file=sys.stderr)\nsys.exit(3)')
    with pytest.raises(StepFailed, match=r"script\.py broke off") as failure:
        app_script.found_by(broken, [], Step("Ask"))
    assert "question 7 of 72" in failure.value.log_tail


def test_a_key_is_a_file_for_its_owner_that_does_not_outlive_its_use() -> None:
    with app_script.key_file("secret") as path:
        assert path.read_text() == "secret"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not path.exists()


@pytest.mark.parametrize(("stack", "outputs", "words"), [
    ("far", {}, "stack far is on another machine (ssh://gpu@box)"),
    ("near", {"tls_certificate": "PEM"}, "stack near speaks TLS"),
])  # fmt: skip
def test_a_stack_that_needs_more_than_loopback_is_refused(
    stack: str, outputs: dict[str, str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "Pulumi.far.yaml").write_text("config:\n  pageindex-stack:host:\n    docker: ssh://gpu@box\n")
    (tmp_path / "Pulumi.near.yaml").write_text("config: {}\n")
    monkeypatch.setattr(app_script, "REPOSITORY", tmp_path)
    app_script.refuse_far_stack("near", {})
    with pytest.raises(StepFailed) as failure:
        app_script.refuse_far_stack(stack, outputs)
    assert words in str(failure.value)
