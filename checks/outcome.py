"""How a check fails: what was expected, what came, what to do, and the last words of the container to blame."""

from __future__ import annotations

from collections.abc import Sequence


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
