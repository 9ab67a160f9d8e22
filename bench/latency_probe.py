"""Runs inside a container on the isolated network: the same requests to vLLM and through the gateway, pair by pair.

Standard library only, one kept-alive connection to each. Facts as JSON on standard input, medians as JSON on output.
"""

import http.client
import itertools
import json
import statistics
import sys
import time
from typing import Any

KINDS: dict[str, tuple[str, str, dict[str, Any] | None, int]] = {
    # what: method, path, body, pairs; all together stay below a client's 600 a minute
    "list of models": ("GET", "/v1/models", None, 350),
    "one token": ("POST", "/v1/completions", {"max_tokens": 1}, 200),
    "stream of 32 tokens": ("POST", "/v1/completions", {"max_tokens": 32, "stream": True}, 20),
}
Sample = dict[str, float]


def main() -> None:
    facts = json.load(sys.stdin)
    targets = {
        "direct": (facts["direct"], {"Authorization": f"Bearer {facts['vllm_key']}"}),
        "gateway": (facts["gateway"], {"Authorization": f"Bearer {facts['client_key']}", "Host": "localhost"}),
    }
    connections = {name: http.client.HTTPConnection(where, timeout=60) for name, (where, _) in targets.items()}
    found = {}
    for what, (method, path, body, count) in KINDS.items():
        if body is not None:
            body = {"model": "default", "prompt": "1, 2, 3,", "temperature": 0, "ignore_eos": True, **body}
        samples: dict[str, list[Sample]] = {name: [] for name in targets}
        order = list(targets)
        for _ in range(count):
            for name in order:
                samples[name].append(timed(connections[name], method, path, targets[name][1], body))
            order.reverse()  # who goes first may be better or worse off
        found[what] = {name: summary(each) for name, each in samples.items()}
    print(json.dumps(found))


def timed(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    headers: dict[str, str],
    body: dict[str, Any] | None,
) -> Sample:
    """One request: milliseconds until the first piece, between pieces, and in all."""
    payload = None if body is None else json.dumps(body)
    sent = time.perf_counter()
    connection.request(method, path, payload, {**headers, "Content-Type": "application/json"})
    answer = connection.getresponse()
    arrivals = []
    while piece := answer.read1(65536):
        arrivals.append(time.perf_counter())
        del piece
    answer.read()  # nothing is left; without it the connection does not know that the answer is over
    if answer.status != 200:
        raise SystemExit(f"{path} answered {answer.status}")
    gaps = [later - earlier for earlier, later in itertools.pairwise(arrivals)]
    return {
        "first_ms": 1000 * (arrivals[0] - sent),
        "total_ms": 1000 * (arrivals[-1] - sent),
        "gap_ms": 1000 * statistics.median(gaps) if gaps else 0.0,
        "pieces": len(arrivals),
    }


def summary(every: list[Sample]) -> dict[str, Any]:
    """Medians over all requests, the 99th percentile, and each request's time."""
    totals = [sample["total_ms"] for sample in every]
    return {
        "p50_ms": statistics.median(totals),
        "p99_ms": sorted(totals)[min(len(totals) - 1, int(0.99 * len(totals)))],
        "first_p50_ms": statistics.median(sample["first_ms"] for sample in every),
        "gap_p50_ms": statistics.median(sample["gap_ms"] for sample in every),
        "pieces": statistics.median(sample["pieces"] for sample in every),
        "each_ms": totals,
    }


if __name__ == "__main__":
    main()
