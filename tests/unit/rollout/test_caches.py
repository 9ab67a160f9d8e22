"""The volume of what a replica compiled, as it is found before a start."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from typing import Any

import pytest

from host_access.outcome import CheckFailed
from planning.services.compile_caches import CACHES_PATH
from rollout.caches import NEW, own_caches

VOLUME = "pageindex-x-vllm-0-caches-1234abcd"
MOUNTS = [
    {"Type": "bind", "Source": "/srv/models", "Destination": "/models"},
    {"Type": "volume", "Name": VOLUME, "Destination": CACHES_PATH},
]


class FakeHost:
    """Answers each container that it is to run, and writes down who it ran as."""

    def __init__(self, *answers: tuple[int, str]):
        self.answers, self.runs = list(answers), list[tuple[str, str | None]]()

    def run_once(
        self, image: str, command: Sequence[str], *, user: str, volumes: dict[str, str], capability: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        assert (image, volumes) == ("sha256:vllm", {VOLUME: CACHES_PATH})
        self.runs.append((user, capability))
        code, said = self.answers.pop(0)
        return subprocess.CompletedProcess([], code, said if not code else "", said if code else "")


def look(host: FakeHost, mounts: Sequence[dict[str, Any]] = MOUNTS) -> None:
    container = {"Mounts": mounts, "Image": "sha256:vllm", "Config": {"User": "2000:0"}}
    own_caches(host, container)  # type: ignore[arg-type]


def test_a_volume_of_its_own_is_looked_at_without_any_right() -> None:
    host = FakeHost((0, ""))
    look(host)
    assert host.runs == [("2000:0", None)]


def test_a_new_volume_is_given_to_the_replicas_user_with_the_one_right_that_takes() -> None:
    host = FakeHost((0, f"{NEW}\n"), (0, ""))
    look(host)
    assert host.runs == [("2000:0", None), ("0:0", "CHOWN")]


def test_one_that_is_somebody_elses_is_refused_with_the_command_that_mends_it() -> None:
    host = FakeHost((0, f"{CACHES_PATH}/x belongs to user 0 and has mode 644"))
    with pytest.raises(CheckFailed) as refused:
        look(host)
    report = refused.value.report()
    assert f"{CACHES_PATH}/x belongs to user 0" in report
    assert f"docker run --rm --network none --user 0:0 -v {VOLUME}:{CACHES_PATH}" in report
    assert "chown 2000:0" in report


@pytest.mark.parametrize("answers", [[(1, "find: Permission denied")], [(0, NEW), (125, "no such image")]])
def test_one_that_nobody_could_look_into_or_hand_over_is_refused_too(answers: list[tuple[int, str]]) -> None:
    with pytest.raises(CheckFailed, match=answers[-1][1]):
        look(FakeHost(*answers))


def test_a_replica_of_an_earlier_version_keeps_nothing_and_starts() -> None:
    host = FakeHost()
    look(host, MOUNTS[:1])
    assert host.runs == []
