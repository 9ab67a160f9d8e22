"""The steps that bring one replica into use, each safe to be taken again: a rollout that was killed starts anew."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from host_access.outcome import CheckFailed
from planning.gateway.replicas import Member, Slots, render_outage
from rollout.facts import Facts, Replica
from rollout.host import Replicas

# An old worker of nginx takes requests on connections that were open at the reload, as long as they are reused within
# its keepalive_min_timeout of 6 s; they still go to the replica that was in use then.
HOLD_S = 7.0
RESOLVED_S = 2.0  # after a reload a name that is new is looked up, and until then nobody is behind it
POLL_S = 0.5
UNKNOWN_START_S = 60.0  # for Retry-After, until a start was measured
MARGIN = 1.15  # a promise is better a little too long


class Rollout:
    """Brings ``facts.container`` into use in its slot, in place of whoever was."""

    def __init__(self, facts: Facts, host: Replicas):
        self.facts, self.host = facts, host

    def run(self) -> dict[str, Any]:
        """What was done. Raises CheckFailed if the new replica is no good, with what serves instead."""
        replicas = self.host.all()
        new = next((each for each in replicas if each.name == self.facts.container), None)
        if new is None:
            raise CheckFailed(
                expected=f"container {self.facts.container}",
                got="none of that name in this stack",
                do="pulumi up --refresh",
            )
        if not new.running:
            self.host.look_before_start(new)  # while whoever serves still does
        others = [each for each in replicas if each.slot == new.slot and each.name != new.name]
        members = [member.address for member in self._slots().get(new.slot, ())]
        previous = _previous(others, members)
        stray = [each for each in others if each.running and each != previous]
        if new.running and members == [new.address] and self._slots()[new.slot][0].up:
            answer, done = self._keep(new, others), "kept"
        elif previous is None:
            answer, done = self._first(new, stray, replicas), "started"
        elif self.facts.mode == "blue-green" and previous.running:
            answer, done = self._beside(new, previous, stray), "switched, both running"
        else:
            answer, done = self._instead(new, previous, stray), "switched, one at a time"
        self._forget_slots_that_are_gone(replicas)
        return {"container": new.name, "done": done, "previous": previous and previous.name, "answer": answer}

    def _keep(self, new: Replica, others: Sequence[Replica]) -> str:
        """In use already: an earlier run ended after the switch, or only the gateway was replaced."""
        self.host.await_healthy(new)
        for old in others:
            if old.running:
                self._drain(old)
                self.host.retire(old)
        return ""

    def _first(self, new: Replica, stray: Sequence[Replica], replicas: Sequence[Replica]) -> str:
        for each in stray:
            self.host.retire(each)
        if len(replicas) == self.facts.slots and not any(each.running for each in replicas):
            for each in replicas:  # a first `up`: nobody has to wait for the one before
                self.host.start(each)
            new = self._seen(new)
        answer = self._try(new)
        self._use(new)
        return answer

    def _beside(self, new: Replica, previous: Replica, stray: Sequence[Replica]) -> str:
        for each in stray:
            self.host.retire(each)
        try:
            answer = self._try(new)
        except CheckFailed as failure:
            raise self._back_to(previous, new, failure) from failure
        self._route([Member(previous.address), Member(new.address)])
        self.host.pause(RESOLVED_S)
        self._use(new)
        self._drain(previous)
        self.host.retire(previous)
        return answer

    def _instead(self, new: Replica, previous: Replica, stray: Sequence[Replica]) -> str:
        start_s = self._expected_start_s()
        if previous.running:
            self._say(f"{previous.name} gets no new requests")
            self._route([Member(previous.address, up=False)], outage_s=HOLD_S + start_s)
            self._drain(previous)
            self.host.retire(previous)
        for each in stray:
            self.host.retire(each)
        self._route([Member(previous.address, up=False)], outage_s=start_s)
        try:
            answer = self._try(new)
        except CheckFailed as failure:
            raise self._back_to(previous, new, failure) from failure
        self._use(new)
        return answer

    def _try(self, new: Replica) -> str:
        """Start it, wait for its first token, ask it a question."""
        if new.restarts and not new.healthy:  # kept dying in an earlier `up`; its cause may be mended
            self.host.retire(new)
            new = self._seen(new)
        began_s, was_running = self.host.now_s(), new.running
        if not was_running:
            self._say(f"starting {new.name}")
            self.host.start(new)
        self.host.await_healthy(new)
        answer = self.host.check(new)
        if not was_running and self.host.slots() is not None:
            self.host.remember({**self.host.recall(), "start_s": round(self.host.now_s() - began_s, 1)})
        return answer

    def _back_to(self, previous: Replica, new: Replica, failure: CheckFailed) -> CheckFailed:
        """The failure, with what serves now: with ``rollback`` the replica that did before."""
        if not self.facts.rollback:
            serves = self._seen(previous).running
            fact = f"{previous.name} ({previous.model}) still serves" if serves else "nothing serves"
            again = (
                "" if serves else f"; docker stop {new.name} && docker start {previous.name} brings back the old one"
            )
            return _with(failure, f"vllm.rollback is off: {fact}, and {new.name} is left for a look", again)
        self._say(f"going back to {previous.name}")
        self.host.retire(new)
        try:
            if not self._seen(previous).running:
                self._route([Member(previous.address, up=False)], outage_s=self._expected_start_s())
                self.host.start(previous)
            self.host.await_healthy(previous)
        except CheckFailed as second:
            return _with(failure, f"and {previous.name} ({previous.model}) did not come back: {second.got}", "")
        self._use(previous)
        return _with(failure, f"rolled back: {previous.model} serves again, in {previous.name}", "")

    def _seen(self, replica: Replica) -> Replica:
        return next((each for each in self.host.all() if each.name == replica.name), replica)

    def _drain(self, old: Replica) -> None:
        """Wait until nobody sends it requests, and those it has are answered; not longer than they may take."""
        began_s, limit_s = self.host.now_s(), self.facts.drain_timeout_s
        if self.host.slots() is not None:
            self.host.pause(HOLD_S)
        while busy := self.host.running_requests(old):
            if self.host.now_s() - began_s > limit_s:
                self._say(f"{busy} requests in {old.name} after {limit_s:.0f} s: they are cut off")
                return
            self.host.pause(POLL_S)

    def _expected_start_s(self) -> float:
        if self.host.slots() is None:
            return UNKNOWN_START_S
        return self.host.recall().get("start_s", UNKNOWN_START_S) * MARGIN

    def _slots(self) -> Slots:
        return self.host.slots() or {}

    def _use(self, replica: Replica) -> None:
        self._route([Member(replica.address)])
        self._say(f"{replica.name} gets the requests")

    def _route(self, members: Sequence[Member], outage_s: float | None = None) -> None:
        """Who is in this slot. ``outage_s`` is what clients are told to wait while no slot has anybody."""
        slots = self.host.slots()
        if slots is None:
            return
        now_s = int(self.host.now_s())
        until_s = None if outage_s is None else now_s + round(outage_s)
        outage = render_outage(until_s, now_s, model=self.facts.served)
        self.host.route({**slots, self.facts.slot: members}, outage)

    def _forget_slots_that_are_gone(self, replicas: Sequence[Replica]) -> None:
        """After fewer replicas were asked for; Pulumi removes their containers when all rollouts are through."""
        slots = self._slots()
        gone = [slot for slot in slots if slot >= self.facts.slots]
        if not gone:
            return
        self.host.route(
            {slot: slots[slot] for slot in slots if slot not in gone}, render_outage(model=self.facts.served)
        )
        for replica in replicas:
            if replica.slot in gone and replica.running:
                self._drain(replica)

    def _say(self, text: str) -> None:
        print(f"{self.facts.what}, replica {self.facts.slot}: {text}", file=sys.stderr, flush=True)


def _previous(others: Sequence[Replica], members: Sequence[str]) -> Replica | None:
    """Who was in use: the gateway knows; without one, who is well."""
    named = [each for each in others if each.address in members]
    well = [each for each in others if each.healthy and each.running]
    return next(iter([*named, *well]), None)


def _with(failure: CheckFailed, fact: str, do: str) -> CheckFailed:
    return CheckFailed(
        expected=failure.expected,
        got=f"{failure.got}; {fact}",
        do=f"{failure.do}{do}",
        container=failure.container,
        log=failure.log,
    )
