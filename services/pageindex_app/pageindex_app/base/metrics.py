"""What Prometheus may know: counts and durations, nothing of what documents or questions say."""

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.registry import Collector

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)


class Metrics:
    """One registry an app, so that several apps fit into one process. Collectors are asked when metrics are read."""

    def __init__(self, *collectors: Collector) -> None:
        self._registry = CollectorRegistry()
        for collector in collectors:
            self._registry.register(collector)
        self._jobs = Counter("pageindex_jobs_ended", "Indexing runs by outcome.", ["outcome"], registry=self._registry)
        self._stages = Histogram(
            "pageindex_stage_seconds",
            "Time in each stage of indexing and answering.",
            ["work", "stage"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._tokens = Counter(
            "pageindex_tokens",
            "Tokens as the model's server counts them.",
            ["work", "model", "kind"],
            registry=self._registry,
        )
        self._answers = Counter("pageindex_answers", "Answers.", ["mode", "support"], registry=self._registry)
        self._dropped = Counter(
            "pageindex_citations_dropped", "Citations that no page bears out.", registry=self._registry
        )
        self._requests = Counter("pageindex_requests", "HTTP requests.", ["method", "status"], registry=self._registry)

    def job_ended(self, outcome: str) -> None:
        self._jobs.labels(outcome).inc()

    def stage(self, work: str, stage: str, seconds: float) -> None:
        self._stages.labels(work, stage).observe(seconds)

    def tokens(self, work: str, model: str, prompt: int, completion: int) -> None:
        self._tokens.labels(work, model, "prompt").inc(prompt)
        self._tokens.labels(work, model, "completion").inc(completion)

    def answered(self, mode: str, support: str, dropped_citations: int) -> None:
        self._answers.labels(mode, support).inc()
        self._dropped.inc(dropped_citations)

    def request(self, method: str, status: int) -> None:
        known = method if method in ("GET", "HEAD", "POST", "DELETE", "OPTIONS") else "other"
        self._requests.labels(known, str(status)).inc()

    def text(self) -> bytes:
        return generate_latest(self._registry)
