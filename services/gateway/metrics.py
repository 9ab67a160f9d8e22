"""Counts what the gateway did, for Prometheus, and sees whether a replica hangs. Standard library only, one file.

nginx, which counts nothing by client, writes one short line a request into a file that lies in memory; this reads it
and empties it before it is full. Of each replica it asks vLLM's own figures: one that works on requests while the
number of its tokens stands still hangs.
"""

from __future__ import annotations

import os
import re
import sys
import threading
import time
import urllib.request
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PORT = 9145
LINES = Path("/run/pageindex-metrics/requests.log")
STATE = Path("/var/tmp")  # noqa: S108 (the gateway's volume); replicas.conf, or one of each model
EMPTY_ABOVE_BYTES = 4 * 2**20  # of 16 MiB
READ_EVERY_S = 0.5
LOOK_EVERY_S = 5.0
STALLED_AFTER_S = 120.0  # longer than a slow machine reads a long prompt
BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
_SERVER = re.compile(r"^server ([\w.-]+:\d+) resolve[^;]*?( down)?;", re.MULTILINE)
_ADDRESS = re.compile(r"[\w.-]+:\d+")  # where nobody was left nginx logs the name of the group instead
_FIGURE = re.compile(
    r"^vllm:(num_requests_running|generation_tokens_total|prompt_tokens_total)(?:\{[^}]*\})? ([0-9.e+-]+)$",
    re.MULTILINE,
)


class Histogram:
    """Prometheus' cumulative buckets."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS_S) + 1)
        self.sum_s = 0.0

    def add(self, seconds: float, times: int) -> None:
        self.counts[bisect_left(BUCKETS_S, seconds)] += times
        self.sum_s += seconds * times

    def lines(self, name: str, labels: str) -> Iterator[str]:
        total = 0
        for bound, count in zip([*map(str, BUCKETS_S), "+Inf"], self.counts, strict=True):
            total += count
            yield f'{name}_bucket{{{labels},le="{bound}"}} {total}'
        yield f"{name}_sum{{{labels}}} {self.sum_s:.3f}"
        yield f"{name}_count{{{labels}}} {total}"


class Requests:
    """What the lines of nginx' log add up to."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.answered: Counter[tuple[str, str, str, str]] = Counter()
        self.limited: Counter[tuple[str, str]] = Counter()
        self.moved_on: Counter[str] = Counter()
        self.seconds: dict[str, Histogram] = {}
        self.first_byte: dict[str, Histogram] = {}

    def add(self, line: str, times: int = 1) -> None:
        """As many equal requests; see ``log_format metrics``. A line that is not whole is left out."""
        fields = line.split("\t")
        if len(fields) != 8:
            return
        client, port, status, upstreams, seconds, first_byte, by_rate, by_number = fields
        *tried, upstream = [each.strip("-") for each in re.findall(r"[^\s,]+", upstreams) if each != ":"] or [""]
        with self._lock:
            self.answered[client, port, status, upstream] += times
            for address in filter(_ADDRESS.fullmatch, tried):
                self.moved_on[address] += times
            self.seconds.setdefault(port, Histogram()).add(float(seconds), times)
            last = re.split(r"[ ,:]+", first_byte)[-1]
            if last.strip("-"):
                self.first_byte.setdefault(port, Histogram()).add(float(last), times)
            for limit, verdict in (("requests_per_minute", by_rate), ("parallel_requests", by_number)):
                if verdict == "REJECTED":
                    self.limited[client, limit] += times

    def lines(self) -> Iterator[str]:
        """In Prometheus' text format."""
        with self._lock:
            yield "# TYPE pageindex_gateway_requests_total counter"
            for (client, port, status, upstream), count in sorted(self.answered.items()):
                labels = f'client="{client}",port="{port}",status="{status}",upstream="{upstream}"'
                yield f"pageindex_gateway_requests_total{{{labels}}} {count}"
            yield "# TYPE pageindex_gateway_limited_total counter"
            for (client, limit), count in sorted(self.limited.items()):
                yield f'pageindex_gateway_limited_total{{client="{client}",limit="{limit}"}} {count}'
            yield "# TYPE pageindex_gateway_moved_on_total counter"
            for upstream, count in sorted(self.moved_on.items()):
                yield f'pageindex_gateway_moved_on_total{{upstream="{upstream}"}} {count}'
            for name, histograms in (("request", self.seconds), ("first_byte", self.first_byte)):
                yield f"# TYPE pageindex_gateway_{name}_seconds histogram"
                for port, histogram in sorted(histograms.items()):
                    yield from histogram.lines(f"pageindex_gateway_{name}_seconds", f'port="{port}"')


def _replicas() -> str:
    return "".join(file.read_text() for file in sorted(STATE.glob("replicas*.conf")))


class Replica:
    """One vLLM server, as its own figures show it."""

    def __init__(self) -> None:
        self.up = self.in_use = False
        self.running = self.tokens = 0.0
        self.stands_since: float | None = None
        self.told = False

    def look(self, figures: str | None, now_s: float) -> None:
        """``figures`` is what its /metrics says, None if it says nothing."""
        self.up = figures is not None
        found: Counter[str] = Counter()
        for name, value in _FIGURE.findall(figures or ""):
            found[name] += float(value)  # type: ignore[assignment]
        self.running = found["num_requests_running"]
        tokens = found["generation_tokens_total"] + found["prompt_tokens_total"]
        if not self.running or tokens != self.tokens:
            self.stands_since, self.told = None, False
        elif self.stands_since is None:
            self.stands_since = now_s
        self.tokens = tokens

    def stalled_s(self, now_s: float) -> float:
        return now_s - self.stands_since if self.stands_since is not None else 0.0


class Watch:
    """All replicas that the gateway has been told of."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._replicas: dict[str, Replica] = {}

    def look(self) -> None:
        try:
            listed = {address: not down for address, down in _SERVER.findall(_replicas())}
        except OSError:
            listed = {}
        figures = {address: _figures(address) for address in listed}
        with self._lock:
            self._replicas = {address: self._replicas.get(address, Replica()) for address in listed}
            for address, replica in self._replicas.items():
                replica.in_use = listed[address]
                replica.look(figures[address], time.monotonic())
                stalled_s = replica.stalled_s(time.monotonic())
                if stalled_s > STALLED_AFTER_S and not replica.told:
                    replica.told = True
                    print(f"{address} hangs: {replica.running:.0f} requests run, and no token came for "
                          f"{stalled_s:.0f} s. Restart it: docker restart {address.partition(':')[0]}",
                          flush=True)  # fmt: skip

    def lines(self) -> Iterator[str]:
        """In Prometheus' text format."""
        with self._lock:
            for name, value in (
                ("up", lambda replica: float(replica.up)),
                ("in_use", lambda replica: float(replica.in_use)),
                ("requests_running", lambda replica: replica.running),
                ("stalled_seconds", lambda replica: replica.stalled_s(time.monotonic())),
            ):
                yield f"# TYPE pageindex_replica_{name} gauge"
                for address, replica in sorted(self._replicas.items()):
                    yield f'pageindex_replica_{name}{{replica="{address}"}} {value(replica):g}'


def _figures(address: str) -> str | None:
    try:
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=3) as answer:
            text: str = answer.read().decode()
            return text
    except (OSError, ValueError):
        return None


def read_lines(requests: Requests) -> None:
    """From now on; what was before this process is in nobody's counters."""
    rest, position = "", LINES.stat().st_size if LINES.exists() else 0
    while True:
        time.sleep(READ_EVERY_S)
        try:
            with LINES.open("rb") as file:
                if os.fstat(file.fileno()).st_size < position:
                    rest, position = "", 0
                file.seek(position)
                data = file.read()
        except FileNotFoundError:
            continue
        position += len(data)
        if position > EMPTY_ABOVE_BYTES and LINES.stat().st_size == position:
            # nginx appends, so that its next line stands at the start again. What it writes between the line above and
            # the one below is lost to the counters; it writes once a second.
            os.truncate(LINES, 0)
            position = 0
        *whole, rest = (rest + data.decode("utf-8", "replace")).split("\n")
        for line, times in Counter(whole).items():  # times are in ms: under load most lines are alike
            requests.add(line, times)


def watch_replicas(watch: Watch) -> None:
    while True:
        watch.look()
        time.sleep(LOOK_EVERY_S)


def serve(requests: Requests, watch: Watch) -> None:
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path != "/metrics":
                self.send_error(404)
                return
            body = "\n".join([*requests.lines(), *watch.lines(), ""]).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    ThreadingHTTPServer(("0.0.0.0", PORT), Answer).serve_forever()


def main() -> int:
    requests, watch = Requests(), Watch()
    for work, argument in ((read_lines, requests), (watch_replicas, watch)):
        threading.Thread(target=work, args=(argument,), daemon=True).start()
    serve(requests, watch)
    return 0


if __name__ == "__main__":
    sys.exit(main())
