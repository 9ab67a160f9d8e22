"""What Prometheus may know: counts and durations, nothing of what documents or questions say."""

from collections import Counter as Tally
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from .answering import Answer
from .library import Library

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)


class _LibraryCollector(Collector):
    """Counted when asked, so that it can never drift from the truth."""

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


class Metrics:
    """One registry an app, so that several apps fit into one process."""

    def __init__(self, library: Library) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(_LibraryCollector(library))
        self._jobs = Counter("pageindex_jobs_ended", "Indexing runs by outcome.", ["outcome"], registry=self.registry)
        self._stages = Histogram(
            "pageindex_stage_seconds",
            "Time in each stage of indexing and answering.",
            ["work", "stage"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._tokens = Counter(
            "pageindex_tokens", "Tokens as the model's server counts them.", ["work", "kind"], registry=self.registry
        )
        self._answers = Counter("pageindex_answers", "Answers.", ["mode", "support"], registry=self.registry)
        self._dropped = Counter(
            "pageindex_citations_dropped", "Citations that no page bears out.", registry=self.registry
        )
        self._requests = Counter("pageindex_requests", "HTTP requests.", ["method", "status"], registry=self.registry)

    def job_ended(self, outcome: str) -> None:
        self._jobs.labels(outcome).inc()

    def stage(self, work: str, stage: str, seconds: float) -> None:
        self._stages.labels(work, stage).observe(seconds)

    def tokens(self, work: str, prompt: int, completion: int) -> None:
        self._tokens.labels(work, "prompt").inc(prompt)
        self._tokens.labels(work, "completion").inc(completion)

    def answered(self, answer: Answer) -> None:
        self._answers.labels(answer.mode, answer.support).inc()
        self._dropped.inc(answer.dropped_citations)

    def request(self, method: str, status: int) -> None:
        known = method if method in ("GET", "HEAD", "POST", "DELETE", "OPTIONS") else "other"
        self._requests.labels(known, str(status)).inc()

    def text(self) -> bytes:
        return generate_latest(self.registry)
