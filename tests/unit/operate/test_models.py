"""`make models`: who needs which weights, and what a prune is told to keep."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from operate import models
from operate.models import Cache, Copy, table
from planning.stack_files import plan_of_file, stack_file_of

SERVED = ("acme/served-1b", "1" * 40)
OLD = ("acme/old-1b", "main")


class Host:
    """Answers docker's questions as a host does that serves a model and keeps another."""

    def __init__(self) -> None:
        self.asked: list[Sequence[str]] = []

    def run(
        self, command: Sequence[str], *, text: str | None = None, timeout_s: float
    ) -> subprocess.CompletedProcess[str]:
        self.asked.append(command)
        said = ""
        if command[1] == "ps":
            said = json.dumps(SERVED)
        elif command[-1] == "list":
            entry = {"commit": "1" * 40, "bytes": 2**30, "complete": True, "verified_at": "2026-11-21T14:05:00+00:00"}
            said = json.dumps([{**entry, "repo": repo, "revision": revision} for repo, revision in (SERVED, OLD)])
        elif "prune" in command:
            said = json.dumps({"removed": [OLD], "freed_bytes": 2**30})
        return subprocess.CompletedProcess(list(command), 0, f"{said}\n", "")


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    made = Host()
    monkeypatch.setattr(models, "commands_on", lambda address: made)
    return made


def cache() -> Cache:
    return Cache(plan_of_file(stack_file_of("single-gpu")))


@pytest.mark.usefixtures("host")
def test_a_model_is_needed_by_replicas_and_by_the_stack_file_for_its_next_up() -> None:
    plan = plan_of_file(stack_file_of("single-gpu"))
    assert cache().needed() == {
        (plan.default.model.repo, plan.default.model.revision): "the stack file",
        SERVED: "vLLM",
    }


def test_a_prune_is_told_everything_that_is_needed(host: Host) -> None:
    assert cache().prune("image") == 2**30
    told = list(host.asked[-1])
    kept = [tuple(told[at + 1 : at + 3]) for at, word in enumerate(told) if word == "--keep"]
    assert SERVED in kept
    assert len(kept) == 2


def test_what_nobody_needs_is_shown_with_what_its_removal_frees(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    found = models.models(stack_file_of("single-gpu"))
    printed = capsys.readouterr().out
    assert [copy.used_by for copy in found] == ["vLLM", ""]
    assert "2026-11-21 14:05 UTC" in printed
    assert "make models S=single-gpu PRUNE=1   frees 1.0 GiB" in printed
    assert not [command for command in host.asked if "prune" in command]


def test_an_unfinished_download_is_called_one() -> None:
    assert "unfinished download" in table([Copy("a/b", "1" * 40, 2**20, False, "", "")])


def test_a_stack_with_a_directory_of_its_host_has_nothing_to_prune(
    host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    models.models(Path(stack_file_of("gb10")))
    assert "a directory of its host" in capsys.readouterr().out
