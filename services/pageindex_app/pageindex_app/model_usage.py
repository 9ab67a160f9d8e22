"""In the worker: what PageIndex's own model calls cost, and how far its summaries are."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

from .jobs import Outcome, Report
from .worker_main import Reporter

RETRY_AFTER_MOST_S = 60.0
_PATCHED = threading.Lock()


class Meter:
    """Counts tokens and summaries of one job."""

    def __init__(self, report: Reporter) -> None:
        self.report = report
        self.outcome = Outcome()
        self._known: set[int] = set()
        self._done: set[int] = set()

    def add(self, response: Any) -> None:
        usage = getattr(response, "usage", None)
        self.outcome.prompt_tokens += getattr(usage, "prompt_tokens", 0) or 0
        self.outcome.completion_tokens += getattr(usage, "completion_tokens", 0) or 0

    def known(self, nodes: list[Any]) -> None:
        self._known |= {id(node) for node in nodes}

    def done(self, node: Any) -> None:
        self._done.add(id(node))
        self.report(Report(stage="summaries", done=len(self._done), total=max(len(self._known), len(self._done))))


@contextlib.contextmanager
def metered(meter: Meter) -> Iterator[None]:
    """While this lasts, PageIndex's calls and summaries are counted.

    PageIndex offers no hook for either; its version is pinned and a test holds these names.
    """
    import litellm
    import pageindex.utils as pageindex_utils

    scheduler = pageindex_utils.SummaryScheduler

    class Counting(scheduler):  # type: ignore[misc, valid-type]
        def mark_final(self, nodes: Any) -> None:
            nodes = list(nodes)
            meter.known(nodes)
            super().mark_final(nodes)

        async def _visit(self, node: Any, depth: int) -> None:
            await super()._visit(node, depth)
            meter.done(node)

    plain, plain_async = litellm.completion, litellm.acompletion

    def completion(**arguments: Any) -> Any:
        try:
            response = plain(**arguments)
        except Exception as error:
            time.sleep(retry_after_s(error))
            raise
        meter.add(response)
        return response

    async def acompletion(**arguments: Any) -> Any:
        try:
            response = await plain_async(**arguments)
        except Exception as error:
            await asyncio.sleep(retry_after_s(error))
            raise
        meter.add(response)
        return response

    with _PATCHED:
        pageindex_utils.SummaryScheduler = Counting
        litellm.completion, litellm.acompletion = completion, acompletion
        try:
            yield
        finally:
            pageindex_utils.SummaryScheduler = scheduler
            litellm.completion, litellm.acompletion = plain, plain_async


def retry_after_s(error: Exception) -> float:
    """How long the server asked to be left alone; PageIndex itself comes back after a second."""
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    try:
        wait_s = float(headers.get("retry-after", 0))
    except (TypeError, ValueError):
        return 0.0
    return min(max(wait_s, 0.0), RETRY_AFTER_MOST_S)
