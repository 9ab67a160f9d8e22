"""Lines that show people how far a long piece of work is."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType

MIB = 2**20
LOOK_EVERY_S = 1.0
SPEAK_EVERY_S = 2.0
SPEAK_AT_LEAST_EVERY_S = 30.0


def say(text: str) -> None:
    print(text, flush=True)


def amount(size: int) -> str:
    """Bytes as a person reads them."""
    return f"{size / MIB:.0f} MiB" if size >= 10 * MIB else f"{size / 1024:.0f} KiB"


class Progress:
    """While it is open, says ``12 % 31/257 MiB 8.2 MiB/s`` when another percent is done, and now and then anyway."""

    def __init__(self, total: int, done: Callable[[], int], verb: str = ""):
        self.total = total
        self.done = done
        self.verb = f"{verb} " if verb else ""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Progress:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def line(self, done: int, since: int, seconds: float) -> str:
        share = 100 * done // self.total if self.total else 100
        speed = max(0, done - since) / MIB / seconds if seconds > 0 else 0.0
        return f"{self.verb}{share} % {done // MIB}/{self.total // MIB} MiB {speed:.1f} MiB/s"

    def _run(self) -> None:
        spoken_at, spoken = time.monotonic(), self.done()
        while not self._ended.wait(LOOK_EVERY_S):
            now, done = time.monotonic(), self.done()
            quiet_s = now - spoken_at
            moved = 100 * done // max(1, self.total) != 100 * spoken // max(1, self.total)
            if quiet_s >= SPEAK_AT_LEAST_EVERY_S or (moved and quiet_s >= SPEAK_EVERY_S):
                say(self.line(done, spoken, quiet_s))
                spoken_at, spoken = now, done
