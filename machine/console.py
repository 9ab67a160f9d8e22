"""How long set-up work shows itself on a terminal, and how it fails: one sentence and the command that mends it.

Standard library only: it runs on a machine where nothing is installed yet.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

HEARTBEAT_S = 10.0  # without a terminal: one line at this pace says that a long step is alive
REDRAW_S = 0.2
BAR_CELLS = 24
TAIL_LINES = 15
_children: set[subprocess.Popen[str]] = set()


class StepFailed(Exception):
    """Set-up cannot go on. ``mend`` is a command or action that the reader can follow as it stands."""

    def __init__(self, what: str, mend: str = "", log_tail: Sequence[str] = ()):
        super().__init__(what)
        self.what = what
        self.mend = mend
        self.log_tail = list(log_tail)

    def report(self) -> str:
        lines = [f"error: {self.what}"]
        lines += [f"  | {line}" for line in self.log_tail]
        if self.mend:
            lines.append(f"mend:  {self.mend}")
        return "\n".join(lines)


def duration(seconds: float) -> str:
    """Seconds as a person reads them: ``0.4 s``, ``12 s``, ``3 min 05 s``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"


class Step:
    """One announced piece of work. Several may run at once; a terminal then shows them side by side."""

    def __init__(self, title: str):
        self.title = title
        self.started_at = time.monotonic()
        self.outcome = "done"
        self.mark = "✓"
        self._activity = ""
        self._bar = ""

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self.started_at

    def say(self, activity: str) -> None:
        """Name what is happening right now."""
        self._activity = activity.strip()

    def progress(self, done: float, total: float, unit: str = "") -> None:
        """Show a bar; ``total`` of 0 means that the end is not known."""
        if total <= 0:
            self._bar = f"{done:.0f} {unit}".strip()
            return
        share = min(1.0, max(0.0, done / total))
        filled = round(share * BAR_CELLS)
        self._bar = f"[{'#' * filled}{'.' * (BAR_CELLS - filled)}] {done:.0f}/{total:.0f} {unit}".rstrip()

    def result(self, outcome: str) -> None:
        """Say how it ended, in place of ``done``."""
        self.outcome = outcome

    def without_result(self, reason: str) -> None:
        """It came to nothing, and that is no failure: something else takes its place."""
        self.outcome, self.mark = reason, "–"

    def status(self, width: int = 200) -> str:
        """The step as it stands, in at most ``width`` characters."""
        parts = [duration(self.elapsed_s), self._bar, self._activity]
        return f"{self.title}: {'  '.join(part for part in parts if part)}"[:width]


class _Display:
    """Shows the running steps: on a terminal in one line that is redrawn, elsewhere a line now and then."""

    def __init__(self) -> None:
        self._steps: list[Step] = []
        self._lock = threading.RLock()
        self._thread: threading.Thread | None = None

    def add(self, step: Step) -> None:
        with self._lock:
            self._steps.append(step)
            if self._thread is None:
                self._thread = threading.Thread(target=self._show, daemon=True)
                self._thread.start()

    def remove(self, step: Step, ending: str) -> None:
        with self._lock:
            self._steps.remove(step)
            self.line(ending)

    def line(self, text: str) -> None:
        with self._lock:
            if _is_terminal():
                sys.stderr.write("\r\x1b[2K")
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()

    def _show(self) -> None:
        on_terminal = _is_terminal()
        while True:
            time.sleep(REDRAW_S if on_terminal else HEARTBEAT_S)
            with self._lock:
                if on_terminal and self._steps:
                    width = shutil.get_terminal_size().columns // len(self._steps) - 4
                    shown = "  |  ".join(step.status(max(20, width)) for step in self._steps)
                    sys.stderr.write(f"\r\x1b[2K  {shown}")
                for step in [] if on_terminal else self._steps:
                    if step.elapsed_s >= HEARTBEAT_S / 2:
                        sys.stderr.write(f"  … {step.status()}\n")
                sys.stderr.flush()


_display = _Display()


def _is_terminal() -> bool:
    return sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def line(text: str = "") -> None:
    """Print one whole line among the running steps."""
    _display.line(text)


@contextlib.contextmanager
def step(title: str) -> Iterator[Step]:
    """Announce a piece of work, show that it lives, and print how long it took or that it failed."""
    current = Step(title)
    _display.add(current)
    mark, outcome = "✗", "failed"
    try:
        yield current
        mark, outcome = current.mark, current.outcome
    finally:
        _display.remove(current, f"{mark} {title}: {outcome} ({duration(current.elapsed_s)})")


def run(
    command: Sequence[str | Path],
    current: Step,
    *,
    log: Path,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    mend: str = "",
    stdin_text: str | None = None,
) -> None:
    """Run a command with its output in ``log``; raise StepFailed with its last lines if it fails."""
    log.parent.mkdir(parents=True, exist_ok=True)
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    with log.open("a", encoding="utf-8", errors="replace") as log_file:
        try:
            process = subprocess.Popen(
                [str(part) for part in command],
                cwd=cwd,
                env=dict(env) if env is not None else None,
                stdin=subprocess.PIPE if stdin_text is not None else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            )
        except FileNotFoundError as error:
            raise StepFailed(f"the command {command[0]} is not installed", mend) from error
        _children.add(process)
        if stdin_text is not None and process.stdin is not None:
            process.stdin.write(stdin_text)
            process.stdin.close()
        if process.stdout is None:
            raise AssertionError("stdout is piped above")
        try:
            for text in process.stdout:
                log_file.write(text)
                log_file.flush()
                if text.strip():
                    tail.append(text.rstrip())
                    current.say(text.strip()[:100])
            code = process.wait()
        except BaseException:
            process.kill()
            process.wait()
            raise
        finally:
            _children.discard(process)
    if code != 0:
        shown = " ".join(str(part) for part in command[:4])
        raise StepFailed(f"`{shown} …` ended with exit code {code}; its whole output is in {log}", mend, tail)


def stop_children() -> None:
    """End the commands that other threads run, because the work as a whole has failed."""
    for process in list(_children):
        process.terminate()


def main_guard(work: object) -> int:
    """Run ``work()``; turn StepFailed into its report and exit code 1, Ctrl-C into 130."""
    try:
        result = work()  # type: ignore[operator]
    except StepFailed as failure:
        line(failure.report())
        return 1
    except KeyboardInterrupt:
        line("stopped by Ctrl-C; run the same command again to go on where it stopped")
        return 130
    return int(result or 0)
