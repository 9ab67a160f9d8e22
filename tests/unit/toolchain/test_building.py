"""Builds run beside each other, and whatever interrupts them leaves nothing half-installed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from machine.console import Step, StepFailed
from toolchain import building, golang, installation
from toolchain.installation import folder
from toolchain.parts import HERE, PARTS, Part

DEADLINE_S = 20


def compile_text(part: Part, into: Path, _log: Path) -> None:
    (into / part.binary).write_text(part.title)
    if part.script:
        (into / Path(part.script).name).write_text("script")


def fetch_nothing(_part: Part, _log: Path) -> None:
    pass


def installed_parts() -> set[str]:
    return {part.folder for part in PARTS if part.installed_in(folder()).exists()}


def test_each_part_appears_under_the_name_of_its_content() -> None:
    building.build_all(list(PARTS), fetch_nothing, compile_text)
    assert installed_parts() == {part.folder for part in PARTS}
    assert not list(folder().glob(f"{building.UNFINISHED}*"))


def test_a_kill_between_build_and_rename_installs_nothing_and_the_next_run_starts_over() -> None:
    script = """
import os, signal
from pathlib import Path
from toolchain import building
from toolchain.parts import PARTS

def compile_into(part, into, log):
    (into / part.binary).write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)

building.build_all(list(PARTS[:1]), lambda part, log: None, compile_into)
"""
    killed = subprocess.run([sys.executable, "-c", script], cwd=HERE.parent, env=dict(os.environ), check=False)
    assert killed.returncode == -signal.SIGKILL
    assert installed_parts() == set()
    assert len(list(folder().glob(f"{building.UNFINISHED}*"))) == 1
    building.build_all(list(PARTS[:1]), fetch_nothing, compile_text)
    assert installed_parts() == {PARTS[0].folder}
    assert (PARTS[0].installed_in(folder()) / PARTS[0].binary).read_text() == PARTS[0].title
    assert not list(folder().glob(f"{building.UNFINISHED}*"))


def test_a_failing_build_leaves_nothing_of_itself_and_keeps_the_others() -> None:
    others_done = threading.Semaphore(0)

    def compile_into(part: Part, into: Path, log: Path) -> None:
        compile_text(part, into, log)
        if part is PARTS[0]:
            for _ in PARTS[1:]:
                assert others_done.acquire(timeout=DEADLINE_S)
            raise StepFailed("the compiler stumbled")
        others_done.release()

    with pytest.raises(StepFailed, match="the compiler stumbled"):
        building.build_all(list(PARTS), fetch_nothing, compile_into)
    assert installed_parts() == {part.folder for part in PARTS[1:]}
    assert not list(folder().glob(f"{building.UNFINISHED}*"))


def test_a_part_that_could_not_be_fetched_is_not_compiled() -> None:
    def fetch(_part: Part, _log: Path) -> None:
        raise StepFailed("the proxy refuses")

    def compile_into(part: Part, into: Path, log: Path) -> None:
        raise AssertionError(f"{part.title} is compiled")

    with pytest.raises(StepFailed, match="the proxy refuses"):
        building.build_all(list(PARTS), fetch, compile_into)
    assert installed_parts() == set()


def test_no_more_than_the_stated_number_compile_at_once() -> None:
    running, most, lock = 0, 0, threading.Lock()
    together = threading.Barrier(building.BUILDS_AT_ONCE)

    def compile_into(part: Part, into: Path, log: Path) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        together.wait(DEADLINE_S)
        compile_text(part, into, log)
        with lock:
            running -= 1

    building.build_all(list(PARTS), fetch_nothing, compile_into)
    assert most == building.BUILDS_AT_ONCE


def test_only_what_is_missing_is_built(built: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    built(PARTS[1:])
    asked: list[Part] = []

    def build_parts(parts: list[Part], current: Step) -> None:
        asked.extend(parts)
        built(tuple(parts))

    monkeypatch.setattr(building, "build_parts", build_parts)
    assert building.ensure() == installation.ours()
    assert asked == [PARTS[0]]
    assert building.ensure() == installation.ours()
    assert asked == [PARTS[0]]


def test_a_second_build_at_the_same_time_waits_and_builds_nothing(
    built: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    building_now, may_go_on, waiting = threading.Event(), threading.Event(), threading.Event()
    builds: list[int] = []

    def build_parts(parts: list[Part], current: Step) -> None:
        builds.append(len(parts))
        building_now.set()
        assert may_go_on.wait(DEADLINE_S)
        built()

    monkeypatch.setattr(building, "build_parts", build_parts)
    monkeypatch.setattr(Step, "say", lambda self, text: waiting.set() if "waiting" in text else None)
    first, second = threading.Thread(target=building.ensure), threading.Thread(target=building.ensure)
    first.start()
    assert building_now.wait(DEADLINE_S)
    second.start()
    assert waiting.wait(DEADLINE_S)
    may_go_on.set()
    first.join(DEADLINE_S)
    second.join(DEADLINE_S)
    assert builds == [len(PARTS)]
    assert installation.installed() == installation.ours()


def test_too_little_disk_is_said_before_anything_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    folder().mkdir(parents=True)
    monkeypatch.setattr(golang, "find_go", lambda: Path("/bin/false"))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=3 * 2**30))
    with pytest.raises(StepFailed, match=r"needs 8 GiB of disk, and .* has 3\.0 GiB") as failure:
        building.build_parts(list(PARTS), Step("build"))
    assert "PAGEINDEX_STACK_CACHE" in failure.value.mend


def test_a_cache_that_cannot_be_written_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAGEINDEX_STACK_CACHE", "/proc/nowhere")
    with pytest.raises(StepFailed, match="/proc/nowhere/toolchain can't be written") as failure:
        building.ensure()
    assert "PAGEINDEX_STACK_CACHE" in failure.value.mend


def test_gos_own_error_reaches_the_user_with_the_log(
    program: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    go = program("go", "echo 'go: reading https://proxy/x: 403 Forbidden' >&2; exit 1") / "go"
    monkeypatch.setattr(golang, "find_go", lambda: go)
    folder().mkdir(parents=True)
    with pytest.raises(StepFailed) as failure:
        building.build_parts([PARTS[0]], Step("build"))
    assert "go: reading https://proxy/x: 403 Forbidden" in failure.value.log_tail
    assert str(folder() / "logs") in failure.value.what
    assert failure.value.mend.startswith("go env GOPROXY")
