"""What an indexing job costs, and how far its summaries are."""

from typing import Any

from ..workers.protocol import Outcome, Report, Reporter


class Meter:
    """Counts the tokens and summaries of one job, as PageIndex's observer."""

    def __init__(self, report: Reporter) -> None:
        self.report = report
        self.outcome = Outcome()
        self._planned: set[int] = set()
        self._done: set[int] = set()

    def responded(self, response: Any) -> None:
        self.outcome.index.add(getattr(response, "usage", None))

    def planned(self, nodes: list[Any]) -> None:
        self._planned |= {id(node) for node in nodes}

    def summarised(self, node: Any) -> None:
        self._done.add(id(node))
        self.report(Report(stage="summaries", done=len(self._done), total=max(len(self._planned), len(self._done))))
