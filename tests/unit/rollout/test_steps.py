"""A rollout's steps against a host that is only pretended: who gets requests at each moment, and after each failure."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from host_access.outcome import CheckFailed
from planning.gateway.replicas import Member, Slots
from planning.rules.modes import RolloutMode
from rollout import steps
from rollout.facts import Facts, Replica
from rollout.steps import Rollout

OLD, NEW = "pageindex-x-vllm-0-0ld0ld0", "pageindex-x-vllm-0-0new0ne"


class Killed(Exception):
    """The rollout's process ended here."""


class FakeHost:
    """Containers that become healthy at once, unless they are ``bad``; every change is written down."""

    def __init__(self, *replicas: Replica, slots: Slots | None = None, bad: tuple[str, ...] = ()):
        self.replicas = {replica.name: replica for replica in replicas}
        self._slots: Slots | None = slots
        self.bad, self.foolish, self.refused = set(bad), set[str](), set[str]()
        self.log: list[str] = []
        self.outages: list[str] = []
        self.busy: dict[str, int] = {}
        self.figures: Mapping[str, float] = {}
        self.clock_s = 1000.0
        self.kill_at: int | None = None

    def _write(self, line: str) -> None:
        if self.kill_at is not None and len(self.log) >= self.kill_at:
            raise Killed
        self.log.append(line)

    def all(self) -> list[Replica]:
        return list(self.replicas.values())

    def look_before_start(self, replica: Replica) -> None:
        if replica.name in self.refused:
            raise CheckFailed(expected="caches of its own", got="root's", do="empty them")

    def start(self, replica: Replica) -> None:
        self.look_before_start(replica)
        self._write(f"start {replica.name}")
        self.replicas[replica.name] = replace(replica, status="running", restarts=0)

    def retire(self, replica: Replica) -> None:
        self._write(f"stop {replica.name}")
        self.replicas[replica.name] = replace(replica, status="exited", healthy=False)

    def await_healthy(self, replica: Replica) -> None:
        if replica.name in self.bad:
            raise CheckFailed(expected="health", got="exit code 1", do="mend it", container=replica.name, log=["why"])
        assert self.replicas[replica.name].running, f"{replica.name} was never started"
        self.clock_s += 30
        self.replicas[replica.name] = replace(self.replicas[replica.name], healthy=True)

    def check(self, replica: Replica) -> str:
        if replica.name in self.foolish:
            raise CheckFailed(expected="Paris", got="'!!!!!!'", do="another dtype", container=replica.name)
        return "Paris."

    def running_requests(self, replica: Replica) -> int | None:
        left = self.busy.get(replica.name, 0)
        self.busy[replica.name] = max(0, left - 1)
        return left

    def slots(self) -> Slots | None:
        return self._slots

    def route(self, slots: Slots, outage: str) -> None:
        members = [f"{m.address.split(':')[0]}{'' if m.up else ' (down)'}" for m in slots.get(0, ())]
        self._write(f"route {' + '.join(members)}")
        self._slots = slots
        self.outages.append(outage)

    def recall(self) -> Mapping[str, float]:
        return self.figures

    def remember(self, figures: Mapping[str, float]) -> None:
        self.figures = figures

    def now_s(self) -> float:
        return self.clock_s

    def pause(self, seconds: float) -> None:
        self.clock_s += seconds


def replica(name: str, status: str = "created", *, slot: int = 0, healthy: bool = False, **more: Any) -> Replica:
    return Replica(name=name, slot=slot, model=f"org/{name[-7:]}", status=status, healthy=healthy, **more)


def facts(mode: RolloutMode = "recreate", **more: Any) -> Facts:
    return Facts(
        prefix="pageindex-x", slot=0, container=NEW, what="org/new", served_models=("org/new", "default"),
        mode=mode, **{"slots": 1, "gateway": "pageindex-x-gateway", **more},
    )  # fmt: skip


def in_use(mode: RolloutMode = "recreate", **more: Any) -> FakeHost:
    """The old generation serves; the new one was just created."""
    slots = {0: [Member(f"{OLD}:8000")]}
    return FakeHost(replica(OLD, "running", healthy=True), replica(NEW), slots=slots, **more)


def up_at_each_route(host: FakeHost) -> list[str]:
    return [line.removeprefix("route ") for line in host.log if line.startswith("route")]


def test_a_first_up_starts_all_replicas_at_once_and_routes_after_the_check() -> None:
    second = replica("pageindex-x-vllm-1-1111111", slot=1)
    host = FakeHost(replica(NEW), second, slots={})
    Rollout(facts(slots=2), host).run()
    assert host.log == [f"start {NEW}", f"start {second.name}", f"route {NEW}"]


def test_blue_green_never_leaves_a_moment_without_a_replica() -> None:
    host = in_use()
    Rollout(facts("blue-green"), host).run()
    assert host.log == [f"start {NEW}", f"route {OLD} + {NEW}", f"route {NEW}", f"stop {OLD}"]


@pytest.mark.parametrize("mode", ["recreate", "rolling"])
def test_one_at_a_time_stops_the_old_one_only_when_it_gets_no_requests(mode: RolloutMode) -> None:
    host = in_use()
    host.busy[OLD] = 3
    Rollout(facts(mode), host).run()
    down = f"route {OLD} (down)"
    assert host.log == [down, f"stop {OLD}", down, f"start {NEW}", f"route {NEW}"]
    assert host.busy[OLD] == 0


def test_requests_that_do_not_end_are_cut_off_at_the_limit() -> None:
    host = in_use()
    host.busy[OLD] = 10**9
    Rollout(facts(drain_timeout_s=20), host).run()
    assert f"stop {OLD}" in host.log


def test_the_promised_wait_rests_on_the_last_start_and_ends_with_the_outage() -> None:
    host = in_use()
    host.figures = {"start_s": 100.0}
    Rollout(facts(), host).run()
    began, started, over = host.outages
    assert f"    1000 {round(100 * steps.MARGIN + steps.HOLD_S)};" in began
    assert f" {round(100 * steps.MARGIN)};" in started
    assert "default 5;" in over
    assert "1000 " not in over
    assert host.figures["start_s"] == 30


@pytest.mark.parametrize("mode", ["recreate", "rolling", "blue-green"])
@pytest.mark.parametrize("fault", ["never healthy", "foolish"])
def test_a_new_replica_that_fails_is_stopped_and_the_old_one_serves_again(mode: RolloutMode, fault: str) -> None:
    host = in_use(bad=(NEW,) if fault == "never healthy" else ())
    host.foolish = {NEW}
    with pytest.raises(CheckFailed) as raised:
        Rollout(facts(mode), host).run()
    assert "rolled back: org/0ld0ld0 serves again" in raised.value.got
    assert ("exit code 1" if fault == "never healthy" else "!!!!!!") in raised.value.got
    assert host.replicas[OLD].running
    assert not host.replicas[NEW].running
    assert host.slots() == {0: [Member(f"{OLD}:8000")]}
    if mode == "blue-green":
        assert f"stop {OLD}" not in host.log


def test_when_the_old_one_does_not_come_back_either_both_are_told() -> None:
    host = in_use(bad=(NEW, OLD))
    with pytest.raises(CheckFailed) as raised:
        Rollout(facts(), host).run()
    assert "did not come back" in raised.value.got


def test_without_rollback_the_new_one_is_left_for_a_look() -> None:
    host = in_use(bad=(NEW,))
    with pytest.raises(CheckFailed) as raised:
        Rollout(facts(rollback=False), host).run()
    assert "vllm.rollback is off: nothing serves" in raised.value.got
    assert f"docker start {OLD}" in raised.value.do
    assert host.replicas[NEW].running
    assert host.slots() == {0: [Member(f"{OLD}:8000", up=False)]}


def test_a_first_replica_that_fails_has_nothing_to_go_back_to() -> None:
    host = FakeHost(replica(NEW), slots={}, bad=(NEW,))
    with pytest.raises(CheckFailed) as raised:
        Rollout(facts(), host).run()
    assert raised.value.got == "exit code 1"


def test_after_a_failed_switch_the_next_one_goes_from_the_model_that_serves() -> None:
    failed = replica("pageindex-x-vllm-0-fa11ed0", "exited")
    host = in_use()
    host.replicas[failed.name] = failed
    Rollout(facts("blue-green"), host).run()
    assert host.log == [f"start {NEW}", f"route {OLD} + {NEW}", f"route {NEW}", f"stop {OLD}"]


def test_what_was_left_for_a_look_makes_room_for_the_next() -> None:
    left = replica("pageindex-x-vllm-0-1ef71ef", "running")
    host = FakeHost(replica(OLD, "exited"), left, replica(NEW), slots={0: [Member(f"{OLD}:8000", up=False)]})
    Rollout(facts(), host).run()
    assert host.log == [f"stop {left.name}", f"route {OLD} (down)", f"start {NEW}", f"route {NEW}"]


def test_a_replica_that_kept_dying_in_an_earlier_up_is_started_anew() -> None:
    host = FakeHost(replica(NEW, "running", restarts=5), slots={})
    Rollout(facts(), host).run()
    assert host.log == [f"stop {NEW}", f"start {NEW}", f"route {NEW}"]


def test_a_replaced_gateway_is_told_without_touching_the_replica() -> None:
    known = {0: [Member(f"{NEW}:8000")]}
    same = FakeHost(replica(NEW, "running", healthy=True), slots=known)
    Rollout(facts(), same).run()
    assert same.log == []
    empty = FakeHost(replica(NEW, "running", healthy=True), slots={})
    Rollout(facts(), empty).run()
    assert empty.log == [f"route {NEW}"]


def test_without_a_gateway_replicas_are_replaced_all_the_same() -> None:
    host = FakeHost(replica(OLD, "running", healthy=True), replica(NEW))
    Rollout(facts("blue-green", gateway=None), host).run()
    assert not host.replicas[OLD].running
    assert host.replicas[NEW].running


def test_fewer_replicas_get_no_requests_before_they_are_removed() -> None:
    gone = replica("pageindex-x-vllm-1-9099099", "running", slot=1, healthy=True)
    slots = {0: [Member(f"{NEW}:8000")], 1: [Member(f"{gone.name}:8000")]}
    host = FakeHost(replica(NEW, "running", healthy=True), gone, slots=slots)
    Rollout(facts(), host).run()
    assert host.slots() == {0: [Member(f"{NEW}:8000")]}


@pytest.mark.parametrize("mode", ["recreate", "rolling", "blue-green"])
@pytest.mark.parametrize("kill_at", range(6))
def test_a_rollout_that_was_killed_anywhere_ends_right_when_run_again(mode: RolloutMode, kill_at: int) -> None:
    host = in_use()
    host.kill_at = kill_at
    try:
        Rollout(facts(mode), host).run()
    except Killed:
        host.kill_at = None
        Rollout(facts(mode), host).run()
    settled(host, NEW, OLD)


@pytest.mark.parametrize("mode", ["recreate", "rolling", "blue-green"])
@pytest.mark.parametrize("kill_at", range(9))
def test_a_rollback_that_was_killed_anywhere_ends_right_when_run_again(mode: RolloutMode, kill_at: int) -> None:
    host = in_use(bad=(NEW,))
    host.kill_at = kill_at
    outcome(Rollout(facts(mode), host).run)
    host.kill_at = None
    outcome(Rollout(facts(mode), host).run)
    settled(host, OLD, NEW)


def outcome(run: Callable[[], object]) -> None:
    with contextlib.suppress(Killed, CheckFailed):
        run()


def settled(host: FakeHost, serving: str, other: str) -> None:
    assert host.slots() == {0: [Member(f"{serving}:8000")]}
    assert host.replicas[serving].running
    assert not host.replicas[other].running


@pytest.mark.parametrize("mode", ["recreate", "rolling", "blue-green"])
def test_a_replica_that_must_not_start_is_refused_before_anybody_is_stopped(mode: RolloutMode) -> None:
    host = in_use(mode)
    host.refused = {NEW}
    with pytest.raises(CheckFailed, match="root's"):
        Rollout(facts(mode), host).run()
    assert host.log == []


def test_of_two_replicas_the_one_that_was_stopped_is_started_and_the_other_goes_on() -> None:
    other = replica("pageindex-x-vllm-1-0ther00", "running", slot=1, healthy=True)
    slots = {0: [Member(f"{NEW}:8000")], 1: [Member(other.address)]}
    host = FakeHost(replica(NEW, "exited"), other, slots=slots)
    Rollout(facts("rolling", slots=2), host).run()
    assert host.log == [f"start {NEW}", f"route {NEW}"]
    assert host.slots() == slots
