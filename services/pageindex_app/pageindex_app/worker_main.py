"""The worker's side: `python -m pageindex_app.worker_main <memory in MiB> [warm]`.

Jobs come on stdin and lines go to stdout, see workers/protocol.py.
"""

import json
import logging
import os
import queue
import resource
import sys
import threading

from .base.failures import Failure
from .base.logs import configure_logging
from .base.settings import MIB
from .workers.protocol import IndexJob, Line, Outcome, RenderJob, Reporter

log = logging.getLogger(__name__)


def main() -> None:
    # Libraries print; only our lines may reach the service.
    channel = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)
    limit = int(sys.argv[1]) * MIB
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    configure_logging()
    jobs: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_listen, args=(jobs,), daemon=True).start()
    lock = threading.Lock()

    def send(line: Line) -> None:
        with lock:
            channel.write(line.model_dump_json(exclude_none=True) + "\n")
            channel.flush()

    if "warm" in sys.argv[2:]:
        _warm_up()
    while True:
        send(Line(outcome=_run(jobs.get(), lambda report: send(Line(report=report)))))


def _warm_up() -> None:
    """Do the imports of an indexing job, which take seconds, before there is a job."""
    from .indexing import index_file  # noqa: F401, I001  (first: it keeps the others off the internet)
    import litellm  # noqa: F401
    import pageindex.flash  # noqa: F401


def _listen(jobs: queue.Queue[str]) -> None:
    """Queue what comes on stdin. When it ends, the service is gone, and so the process ends."""
    for line in sys.stdin:
        jobs.put(line)
    os._exit(0)


def _run(raw: str, report: Reporter) -> Outcome:
    try:
        if json.loads(raw)["task"] == "render":
            from .documents.rendering import render

            return Outcome(failure=render(RenderJob.model_validate_json(raw)))
        from .indexing.index_file import index

        return index(IndexJob.model_validate_json(raw), report)
    except MemoryError:
        return Outcome(failure=Failure(code="out_of_memory"))
    except Exception as error:
        log.warning("job failed", exc_info=error)
        return Outcome(failure=Failure(code="damaged"))


if __name__ == "__main__":
    main()
