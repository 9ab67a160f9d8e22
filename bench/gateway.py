"""`make bench-gateway`: this gateway against others, before one constant backend on loopback, as a table and a plot.

Interleaved rounds of one run: every contestant is asked in every round, and the order changes from round to round.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import lab.engine
import lab.images
from bench.gateway_contestants import CONTESTANTS, MODEL, ROUTERS, VENV, Contestant, running
from bench.gateway_plot import plot
from machine.console import Step, main_guard, run, step
from machine.debian import ensure_tools
from machine.paths import LOGS, REPOSITORY
from planning.hosts.images import resolve_image

PAGE = REPOSITORY / "docs" / "bench-gateway.md"
PLOT = REPOSITORY / "docs" / "bench-gateway.svg"
ROUNDS, SECONDS = 5, 2
STREAMS_A_ROUND = 12


def body_of(size: int) -> str:
    """A chat of ``size`` bytes, as a page of a document makes it; nginx takes up to 1 MiB unless it is told."""
    question = {"role": "user", "content": "What is the capital of France?"}
    fixed = len(json.dumps({"model": MODEL, "messages": [{"role": "system", "content": ""}, question]}))
    page = "The quick brown fox jumps over the lazy dog. " * (size // 45 + 1)
    return json.dumps({"model": MODEL, "messages": [{"role": "system", "content": page[: size - fixed]}, question]})


# wrk counts in microseconds; a status other than 2xx and a broken connection are errors.
SCRIPT = """
wrk.method = "POST"
wrk.body = [[%s]]
wrk.headers["Content-Type"] = "application/json"
%s
done = function(summary, latency, requests)
  local e = summary.errors
  io.stderr:write(string.format('{"p50_us": %%d, "p99_us": %%d, "requests": %%d, "us": %%d, "errors": %%d}',
    latency:percentile(50), latency:percentile(99), summary.requests, summary.duration,
    e.connect + e.read + e.write + e.status + e.timeout))
end
"""
OURS, DIRECT, DOCUMENTED, ROUTER, BARE = "this gateway", "direct", "documented nginx", "vllm-router", "bare nginx"
ROUTED = "this gateway, routed"


@dataclass(frozen=True)
class Traffic:
    """What a contestant is sent: bodies of ``size`` bytes over ``parallel`` connections."""

    size: int
    parallel: int

    def __str__(self) -> str:
        return f"{'1 kB' if self.size == KB else '1 MB'}, {self.parallel}"


KB, MB = 1000, 1_000_000
ALONE, MANY, LARGE = Traffic(KB, 1), Traffic(KB, 64), Traffic(MB, 4)
TRAFFIC = (ALONE, Traffic(KB, 16), MANY, LARGE)


@dataclass(frozen=True)
class Load:
    """What one contestant did with one load."""

    p50_ms: float
    p99_ms: float
    per_s: float
    errors: int


@dataclass(frozen=True)
class Streams:
    """Medians of one contestant's streams in one round."""

    first_byte_ms: float
    between_ms: float


Loads = dict[tuple[str, Traffic], list[Load]]


def prepare(current: Step) -> None:
    """The load generator from Debian, and the routers in an environment of their own."""
    log = LOGS / "bench-gateway.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    ensure_tools({"wrk": "wrk"}, current, log)
    mark = VENV / ".installed"
    if not mark.exists() or mark.read_text() != " ".join(ROUTERS):
        current.say(f"installing {', '.join(ROUTERS)}")
        run([sys.executable, "-m", "venv", VENV], current, log=log)
        run([VENV / "bin" / "python", "-m", "pip", "install", "--quiet", *ROUTERS], current, log=log)
        mark.write_text(" ".join(ROUTERS))


def measure(current: Step) -> tuple[Loads, dict[str, list[Streams]]]:
    loads: Loads = defaultdict(list)
    streams: dict[str, list[Streams]] = defaultdict(list)
    with running():
        for number in range(ROUNDS + 1):  # the first one warms everybody up
            turn = number % len(CONTESTANTS)
            for contestant in (*CONTESTANTS[turn:], *CONTESTANTS[:turn]):
                current.say(f"round {number} of {ROUNDS}: {contestant.name}")
                found = {traffic: load(contestant, traffic) for traffic in TRAFFIC}
                streamed = stream(contestant)
                if number:
                    for traffic, each in found.items():
                        loads[contestant.name, traffic].append(each)
                    streams[contestant.name].append(streamed)
    return loads, streams


def load(contestant: Contestant, traffic: Traffic) -> Load:
    headers = "\n".join(f'wrk.headers["{name}"] = "{value}"' for name, value in contestant.headers.items())
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(SCRIPT % (body_of(traffic.size), headers))
        script.flush()
        done = subprocess.run(
            ["wrk", "-t1", f"-c{traffic.parallel}", f"-d{SECONDS}s", "--timeout", "10s", "-s", script.name,
             f"http://127.0.0.1:{contestant.port}/v1/chat/completions"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    told: dict[str, Any] = json.loads(done.stderr)
    return Load(told["p50_us"] / 1000, told["p99_us"] / 1000, told["requests"] / told["us"] * 1e6, told["errors"])


def stream(contestant: Contestant) -> Streams:
    """Time to the first byte of an answer, and between two pieces, over one connection that is kept."""
    body = json.dumps({"model": MODEL, "prompt": "1, 2,", "stream": True, "max_tokens": 16})
    headers = {"Content-Type": "application/json", **contestant.headers}
    connection = http.client.HTTPConnection("127.0.0.1", contestant.port, timeout=30)
    first_byte, between = [], []
    for _ in range(STREAMS_A_ROUND):
        started = time.perf_counter()
        connection.request("POST", "/v1/completions", body, headers)
        answer = connection.getresponse()
        answer.read1(65536)
        last = time.perf_counter()
        first_byte.append(last - started)
        while answer.read1(65536):
            now = time.perf_counter()
            between.append(now - last)
            last = now
    connection.close()
    return Streams(statistics.median(first_byte) * 1000, statistics.median(between or [0.0]) * 1000)


def median(values: list[float]) -> float:
    return statistics.median(values)


def added_ms(loads: Loads, name: str, percentile: str, to: str = DIRECT, traffic: Traffic = ALONE) -> float:
    """Median over the rounds of the difference to another one, as a rule to direct, in the same round."""
    pairs = zip(loads[name, traffic], loads[to, traffic], strict=True)
    return median([getattr(its, percentile) - getattr(other, percentile) for its, other in pairs])


def factor(loads: Loads, name: str, other: str, traffic: Traffic = MANY) -> float:
    """Median over the rounds of its requests a second, as a part of another one's."""
    pairs = zip(loads[name, traffic], loads[other, traffic], strict=True)
    return median([its.per_s / others.per_s for its, others in pairs])


def rows(loads: Loads, streams: dict[str, list[Streams]]) -> list[str]:
    lines = []
    for contestant in CONTESTANTS:
        name = contestant.name
        own = [each for traffic in TRAFFIC for each in loads[name, traffic]]
        first = median([its.first_byte_ms - direct.first_byte_ms
                        for its, direct in zip(streams[name], streams[DIRECT], strict=True)])  # fmt: skip
        between = median([each.between_ms for each in streams[name]])
        rates = " | ".join(f"{median([each.per_s for each in loads[name, traffic]]):,.0f}" for traffic in TRAFFIC)
        lines.append(
            f"| {name} | {added_ms(loads, name, 'p50_ms'):+.3f} | {added_ms(loads, name, 'p99_ms'):+.3f} "
            f"| {first:+.2f} | {between:.2f} | {rates} | {sum(each.errors for each in own)} |"
        )
    return lines


def goals(loads: Loads, streams: dict[str, list[Streams]]) -> list[str]:
    """Each beside what nginx reaches that does nothing but pass requests on: more than that no gateway on it can."""
    router = added_ms(loads, ROUTER, "p50_ms")

    def row(goal: str, met: Callable[[float], bool], shown: str, of: Callable[[str], float]) -> str:
        ours = of(OURS)
        return f"| {goal} | {shown.format(ours)} | {'met' if met(ours) else 'missed'} | {shown.format(of(BARE))} |"

    def own(goal: str, met: Callable[[float], bool], shown: str, value: float) -> str:
        return f"| {goal} | {shown.format(value)} | {'met' if met(value) else 'missed'} | – |"

    def slower(name: str) -> float:
        pairs = zip(streams[name], streams[DIRECT], strict=True)
        return median([its.between_ms / direct.between_ms - 1 for its, direct in pairs])

    return [
        row("time between a stream's pieces at most 2 % above direct", lambda x: x <= 0.02, "{:+.1%}", slower),
        row(f"added p50 at most half of vllm-router's {router:.3f} ms", lambda x: x <= router / 2, "{:.3f} ms",
                lambda name: added_ms(loads, name, "p50_ms")),
        row("at least twice vllm-router's requests a second at 64", lambda x: x >= 2, "{:.1f} times",
                lambda name: factor(loads, name, ROUTER)),
        row("at least 2.5 times the documented nginx's at 64", lambda x: x >= 2.5, "{:.1f} times",
                lambda name: factor(loads, name, DOCUMENTED)),
        own("at least 80 % of bare nginx's requests a second at 64", lambda x: x >= 0.8, "{:.0%}",
                factor(loads, OURS, BARE)),
        own("routed by model: at most 0.15 ms more than with one model, p50 of 1 kB", lambda x: x <= 0.15, "{:+.3f} ms",
                added_ms(loads, ROUTED, "p50_ms", OURS)),
        own("routed by model: at least 75 % of the requests a second with one model, at 64", lambda x: x >= 0.75,
                "{:.0%}", factor(loads, ROUTED, OURS)),
        own("routed by model: the same with bodies of 1 MB, at 4", lambda x: x >= 0.75, "{:.0%}",
                factor(loads, ROUTED, OURS, LARGE)),
    ]  # fmt: skip


def page(loads: Loads, streams: dict[str, list[Streams]], busy: float) -> str:
    head = " | ".join(f"requests/s: {traffic}" for traffic in TRAFFIC)
    return "\n".join([
        "# Measured: the gateway",
        "",
        f"Written by `make bench-gateway` on {datetime.now(UTC):%Y-%m-%d}: {os.cpu_count()} cores, {platform.system()} "
        f"{platform.release().split('-')[0]}, load average before the run {busy:.1f}. {ROUNDS} interleaved rounds of "
        f"{SECONDS} s for each load, everything on loopback of one machine, so that the load generator (wrk), the "
        "contestant and the backend share its cores.",
        "The backend answers a chat at once, and streams 16 pieces, one every 5 ms. Added is against direct in the "
        "same round, one request of 1 kB at a time; the figures are medians over the rounds. Requests a second stand "
        "under the size of their bodies and their number at once.",
        "",
        f"| who | added p50, ms | added p99, ms | added to the first byte, ms | between pieces, ms | {head} | errors |",
        f"| --- | ---: | ---: | ---: | ---: | {' | '.join('---:' for _ in TRAFFIC)} | ---: |",
        *rows(loads, streams),
        "",
        *(f"- {each.name}: {each.about}" for each in CONTESTANTS),
        "",
        f"![Requests a second at 64 parallel, and added milliseconds]({PLOT.name})",
        "",
        "| goal | this gateway | | bare nginx |",
        "| --- | --- | --- | --- |",
        *goals(loads, streams),
        "",
        "The last column is what nginx leaves room for on these cores.",
        "",
    ])  # fmt: skip


def main(arguments: list[str]) -> int:
    argparse.ArgumentParser(prog="python -m bench.gateway", description=__doc__).parse_args(arguments)
    lab.images.ensure([resolve_image("nginx"), resolve_image("python")], lab.engine.ensure())
    busy = os.getloadavg()[0]
    with step("Contestants") as current:
        prepare(current)
    with step("Measure") as current:
        loads, streams = measure(current)
    text = page(loads, streams, busy)
    PAGE.write_text(text, encoding="utf-8")
    bars = {
        each.name: (
            median([one.per_s for one in loads[each.name, MANY]]),
            added_ms(loads, each.name, "p50_ms"),
        )
        for each in CONTESTANTS
    }
    PLOT.write_text(plot(bars), encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main_guard(lambda: main(sys.argv[1:])))
