"""The library's figures for Prometheus."""

from collections import Counter as Tally
from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from .library import Library


class LibraryCollector(Collector):
    """Counts documents, jobs and pages when it is asked, so that no figure can drift from the truth."""

    def __init__(self, library: Library) -> None:
        self._library = library

    def collect(self) -> Iterator[Metric]:
        documents = self._library.all()
        by_status = GaugeMetricFamily("pageindex_documents", "Documents by status.", labels=["status"])
        found = Tally(document.status for document in documents)
        for status in ("queued", "indexing", "ready", "failed"):
            by_status.add_metric([status], found[status])
        yield by_status
        jobs = GaugeMetricFamily("pageindex_jobs", "Indexing jobs by state.", labels=["state"])
        for state in ("queued", "indexing", "failed"):
            jobs.add_metric([state], len(self._library.jobs(state)))
        yield jobs
        pages = sum(document.pages or 0 for document in documents)
        yield GaugeMetricFamily("pageindex_pages", "Pages of all documents that are ready.", value=pages)
