"""The container's process."""

from __future__ import annotations

import os
import signal

from model_downloader.cli import run_and_exit


def _stop(*_: object) -> None:
    os.write(2, b"stopped; finished files are kept and the next run goes on from them\n")
    os._exit(143)


if __name__ == "__main__":
    # As a container's first process it would ignore the signal without a handler, and be killed only 10 s later.
    signal.signal(signal.SIGTERM, _stop)
    run_and_exit()
