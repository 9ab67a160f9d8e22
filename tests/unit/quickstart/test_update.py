"""`pulumi up` is shown by what a person waits for; its errors come whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from machine.console import StepFailed
from quickstart import update
from quickstart.update import Progress

PREFIX = "urn:pulumi:dev::pageindex-stack::command:local:Command::"


def event(kind: str, name: str, op: str = "create") -> dict[str, Any]:
    return {kind: {"metadata": {"urn": f"{PREFIX}{name}", "op": op}}}


def test_what_a_person_waits_for_is_named_while_it_runs_and_when_it_is_done() -> None:
    progress = Progress()
    progress.take(event("resourcePreEvent", "llm-0-ready"), 10)
    progress.take(event("resourcePreEvent", "vllm-key-command"), 10)
    assert progress.now(11) == ""
    assert progress.now(14) == "start vLLM and ask it a question"
    assert progress.take(event("resOutputsEvent", "vllm-key-command"), 11) is None
    assert progress.take(event("resOutputsEvent", "llm-0-ready"), 52) == "start vLLM and ask it a question (42 s)"
    assert (progress.done, progress.seen, progress.changed) == (2, 2, 2)


def test_what_stays_as_it_is_is_counted_and_not_announced() -> None:
    progress = Progress()
    progress.take(event("resourcePreEvent", "llm-0-ready", "same"), 0)
    assert progress.take(event("resOutputsEvent", "llm-0-ready", "same"), 1) is None
    assert (progress.done, progress.changed) == (1, 0)


def test_a_resource_that_is_compared_with_the_host_first_counts_once() -> None:
    progress = Progress()
    for step in ("refresh", "same"):
        progress.take(event("resourcePreEvent", "llm-0-ready", step), 0)
        progress.take(event("resOutputsEvent", "llm-0-ready", step), 1)
    assert (progress.done, progress.seen, progress.changed) == (1, 1, 0)


def test_a_replacement_is_announced_once_when_it_is_made() -> None:
    progress = Progress()
    said = []
    for step in ("create-replacement", "replace", "delete-replaced"):
        progress.take(event("resourcePreEvent", "checks-isolation", step), 0)
        said.append(progress.take(event("resOutputsEvent", "checks-isolation", step), 2))
    assert said == ["check the isolation (2.0 s)", None, None]
    assert progress.changed == 1


def test_an_error_is_kept_whole_and_once() -> None:
    progress = Progress()
    said = {"diagnosticEvent": {"severity": "error", "message": "check `ports` failed\nexpected: free\n"}}
    for _ in range(2):
        progress.take(said, 0)
    progress.take({"diagnosticEvent": {"severity": "info", "message": "fine"}}, 0)
    assert progress.errors == ["check `ports` failed\nexpected: free"]


@pytest.fixture
def pulumi(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A `pulumi` that writes the events of ``told`` and ends as the file ``code`` says."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "pulumi"
    program.write_text(
        "#!/bin/sh\n"
        'while [ "$1" != --event-log ]; do shift; done\n'
        f"cat {tmp_path}/told >> $2; echo 'the whole log'; exit $(cat {tmp_path}/code)\n"
    )
    program.chmod(0o755)
    monkeypatch.setattr(update, "LOGS", tmp_path / "logs")
    monkeypatch.setattr(update, "REPOSITORY", tmp_path)
    monkeypatch.setattr(update, "environment", lambda: {"PATH": f"{tmp_path}/bin:/usr/bin:/bin"})
    return tmp_path


def test_an_update_that_works_says_how_much_changed_and_where_the_log_is(
    pulumi: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = [event("resourcePreEvent", "models-verified"), event("resOutputsEvent", "models-verified")]
    (pulumi / "told").write_text("".join(f"{json.dumps(each)}\n" for each in told))
    (pulumi / "code").write_text("0")
    update.update("dev")
    shown = capsys.readouterr().err
    assert "✓ fetch and verify the weights" in shown
    assert "1 of 1 resources changed; log logs/pulumi-up.log" in shown
    assert (pulumi / "logs" / "pulumi-up.log").read_text() == "the whole log\n"
    assert not list((pulumi / "logs").glob("*.events"))


def test_an_update_that_fails_shows_pulumis_errors_and_the_log(pulumi: Path) -> None:
    said = {"diagnosticEvent": {"severity": "error", "message": "port 8000 is taken\ndo: stop it"}}
    (pulumi / "told").write_text(f"{json.dumps(said)}\n")
    (pulumi / "code").write_text("255")
    with pytest.raises(StepFailed) as failed:
        update.update("dev")
    assert failed.value.log_tail == ["port 8000 is taken", "do: stop it"]
    assert "pulumi-up.log" in failed.value.what


def test_without_a_pulumi_the_mend_is_named(pulumi: Path) -> None:
    (pulumi / "bin" / "pulumi").unlink()
    with pytest.raises(StepFailed, match="no pulumi"):
        update.update("dev")
