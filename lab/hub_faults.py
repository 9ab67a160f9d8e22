"""Faults that the model hub plays on request: a status, a hang, a cut, a reset, a flipped bit, a slow line."""

from __future__ import annotations

import fnmatch
import threading
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

Kind = Literal["status", "hang", "cut", "reset", "flip", "slow"]


@dataclass
class Fault:
    """What goes wrong, for which repository and path, and how many times (for ever if ``times`` is None)."""

    kind: Kind
    repo: str = "*"
    path: str = "*"  # a file's path, or ``api`` for the routes under /api
    times: int | None = None
    status: int = 503
    retry_after_s: int | None = None
    after_bytes: int = 0  # hang, cut, reset: bytes of the body that still arrive; flip: where the wrong bit is
    bytes_per_s: int = 2**20

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"kind is {self.kind!r}, expected one of {', '.join(get_args(Kind))}")
        numbers = {"status": self.status, "after_bytes": self.after_bytes, "bytes_per_s": self.bytes_per_s}
        for name, value in numbers.items():
            if not isinstance(value, int) or value < 0:
                raise ValueError(f"{name} is {value!r}, expected a number of at least 0")


class Faults:
    """The faults that are due; several requests may ask at once."""

    def __init__(self) -> None:
        self._due: list[Fault] = []
        self._lock = threading.Lock()

    def replace(self, faults: list[Fault]) -> None:
        with self._lock:
            self._due = list(faults)

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._due.append(fault)

    def listing(self) -> list[dict[str, Any]]:
        with self._lock:
            return [asdict(fault) for fault in self._due]

    def take(self, repo: str, path: str, *, body: bool) -> Fault | None:
        """The first fault that fits, counted as played. Without a body to send only a status or a hang can be."""
        with self._lock:
            for fault in self._due:
                fits = fnmatch.fnmatchcase(repo, fault.repo) and fnmatch.fnmatchcase(path, fault.path)
                if not fits or not (body or fault.kind == "status" or (fault.kind == "hang" and not fault.after_bytes)):
                    continue
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times <= 0:
                        self._due.remove(fault)
                return fault
        return None
