"""Background processes of the lab: known by the process id in a file, ended by it and by nothing else."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path


def recorded(pid_file: Path, mark: str) -> int | None:
    """The process that a file names; None when it is gone, or when the number is another's by now.

    ``mark`` stands in the command line of the right one.
    """
    try:
        pid = int(pid_file.read_text())
        command_line = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError):
        return None
    return pid if mark.encode() in command_line else None


def lives(pid: int) -> bool:
    """Whether the process is there and not a zombie that only waits for its parent."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def end(pid: int | None, patience_s: float) -> bool:
    """Stop a process: politely first, then by force. False if it lives on."""
    if pid is None:
        return True
    for word, budget_s in ((signal.SIGTERM, patience_s), (signal.SIGKILL, 10.0)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, word)
        deadline = time.monotonic() + budget_s
        while lives(pid):
            if time.monotonic() > deadline:
                break
            time.sleep(0.05)
        else:
            return True
    return False
