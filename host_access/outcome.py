"""How a check fails: what was expected, what came, what to do, and the last words of the container to blame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class CheckFailed(Exception):
    """The stack is not what was promised."""

    def __init__(self, *, expected: str, got: str, do: str, container: str = "", log: Sequence[str] = ()):
        super().__init__(f"expected {expected}, got {got}")
        self.expected = expected
        self.got = got
        self.do = do
        self.container = container
        self.log = list(log)

    def report(self) -> str:
        lines = [f"expected: {self.expected}", f"got:      {self.got}", f"do:       {self.do}"]
        if self.log:
            lines += [f"last log lines of {self.container}:", *(f"  | {line}" for line in self.log)]
        return "\n".join(lines)


@dataclass(frozen=True)
class Fault:
    """One of several things that are not as they should be."""

    expected: str
    got: str
    do: str


class SeveralFailed(CheckFailed):
    """All that is wrong at once, so that it can be mended at once. ``findings`` is shown after the faults."""

    def __init__(self, faults: Sequence[Fault], *, findings: str = "", container: str = "", log: Sequence[str] = ()):
        first = faults[0]
        super().__init__(expected=first.expected, got=first.got, do=first.do, container=container, log=log)
        self.faults = tuple(faults)
        self.findings = findings

    def report(self) -> str:
        lines = []
        for number, fault in enumerate(self.faults, 1):
            mark = f"{number}. " if len(self.faults) > 1 else ""
            lines += [f"{mark}expected: {fault.expected}", f"   got:      {fault.got}", f"   do:       {fault.do}"]
        lines += [self.findings] if self.findings else []
        if self.log:
            lines += [f"last log lines of {self.container}:", *(f"  | {line}" for line in self.log)]
        return "\n".join(lines)
