"""`make bench-app`: the app against PageIndex called bare, many documents, many people; a table in docs/.

python -m bench.app [--stack dev | --base-url http://127.0.0.1:8000/v1]
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from machine.console import main_guard, step
from machine.paths import REPOSITORY
from operate.app_script import found_by, key_file, refuse_far_stack
from quickstart.pulumi import outputs

PAGE = REPOSITORY / "docs" / "bench-app.md"
PROBE = Path(__file__).with_name("app_probe.py")
GOAL_FACTOR, GOAL_LISTING_MS, GOAL_GROWTH_MIB = 1.05, 50.0, 10.0


def measure(base_url: str, api_key: str) -> dict[str, Any]:
    with key_file(api_key) as key, step("Measure the app") as current:
        return found_by(PROBE, [base_url, str(key)], current)


def rows(found: dict[str, Any]) -> list[tuple[str, str, str]]:
    """What was measured, its value, and how it stands to its goal."""
    many = found["many"]
    listing, people, memory = sorted(many["listing_ms"]), many["people_s"], many["memory_mib"]
    growth = memory[-1] - memory[0]
    return [
        *_pair("indexing 7 pages, the model writes summaries", found["indexing"]),
        *_pair("indexing 47 pages (scripted model, at once)", found["indexing_long"]),
        *_pair("asking the agent (scripted model, 250 ms a call)", found["asking"]),
        ("asking in two steps, this stack's model", _spread(found["two_step_s"]), "the library has no such way"),
        (
            f"listing {many['listed']} documents",
            f"p50 {statistics.median(listing):.1f} ms, p99 {_p99(listing):.1f} ms",
            _verdict(statistics.median(listing) < GOAL_LISTING_MS, f"below {GOAL_LISTING_MS:.0f} ms"),
        ),
        (
            f"20 people asking at once, {len(people)} questions",
            f"p50 {statistics.median(people):.2f} s, longest {people[-1]:.2f} s",
            f"{_verdict(True, 'no error')}; each answer had its page",  # the probe ends at the first that has not
        ),
        (
            "memory over 500 questions",
            f"{memory[0]:.0f} MiB before, {memory[-1]:.0f} MiB after",
            _verdict(growth <= GOAL_GROWTH_MIB, f"at most {GOAL_GROWTH_MIB:.0f} MiB more") + f": {growth:+.1f} MiB",
        ),
    ]


def _pair(what: str, found: dict[str, list[float]]) -> list[tuple[str, str, str]]:
    # Of the rounds' ratios, not of the medians: a round's two runs share what else the machine was doing.
    ratio = statistics.median(ours / bare for ours, bare in zip(found["app_s"], found["bare_s"], strict=True))
    verdict = _verdict(ratio <= GOAL_FACTOR, f"≤ {GOAL_FACTOR} ×")
    return [
        (f"{what}: app", _spread(found["app_s"]), f"{ratio:.3f} × the library; {verdict}"),
        (f"{what}: library", _spread(found["bare_s"]), ""),
    ]


def _verdict(met: bool, goal: str) -> str:
    return f"goal {goal}: {'met' if met else 'missed'}"


def _p99(ordered: list[float]) -> float:
    return ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} s ({min(values):.2f} to {max(values):.2f}, {len(values)} runs)"


def page(table: list[tuple[str, str, str]], repo: str) -> str:
    lines = [
        "# Measured: the app",
        "",
        f"Written by `make bench-app` on {datetime.now(UTC):%Y-%m-%d}; {repo}, {os.cpu_count()} cores, "
        f"{platform.system()} {platform.release().split('-')[0]}, load average at the end {os.getloadavg()[0]:.1f}.",
        "The app is a process of its own on loopback, without the gateway; the library is `PageIndexLocalClient` with "
        "the same settings, its imports done. Both take turns, and the one that begins changes from round to round. "
        "Scripted models answer by rule, so that the app is measured and not the model; many documents, people and "
        "requests meet one that answers at once.",
        "",
        "| what | median | against its goal |",
        "| --- | --- | --- |",
        *(f"| {what} | {value} | {verdict} |" for what, value, verdict in table),
        "",
    ]
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.app", description=__doc__)
    parser.add_argument("--stack", default="dev")
    parser.add_argument("--base-url", help="a model server without a key, instead of a stack's")
    given = parser.parse_args(arguments)
    stack = {} if given.base_url else outputs(given.stack)
    if stack:
        refuse_far_stack(given.stack, stack)
    found = measure(given.base_url or stack["api_url"], stack.get("api_key", ""))
    text = page(rows(found), stack["model"]["repo"] if stack else "a model server given by its address")
    PAGE.write_text(text, encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main_guard(lambda: main(sys.argv[1:])))
