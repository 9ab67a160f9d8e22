"""`make eval`: ask a running stack's own model the samples' questions, and count what it gets right."""

from __future__ import annotations

import argparse
import os
import sys
from datetime import UTC, datetime
from typing import Any

import httpx

from machine.console import StepFailed, main_guard, step
from machine.paths import REPOSITORY
from operate.app_script import found_by, key_file, refuse_far_stack
from quickstart.pulumi import outputs

PAGE = REPOSITORY / "docs" / "eval.md"
SCRIPT = REPOSITORY / "services" / "pageindex_app" / "evaluate.py"
VARIANTS = {
    "both": "words and tree (as served)",
    "words": "words alone (BM25)",
    "tree": "the model's choice from the tree alone",
}
SETS = {
    "held-out": "held out: never used to change anything",
    "tuned": "in view while retrieval was made",
    "unanswerable": "answered by no document; right is to say so",
}


def evaluate(base_url: str, api_key: str, context_tokens: int, every: int, variants: list[str]) -> dict[str, Any]:
    """Run the app's own code, with nothing between it and the model but the gateway."""
    with key_file(api_key) as key, step("Ask the samples' questions") as current:
        return found_by(SCRIPT, [*variants, "--every", str(every)], current, {
            "VLLM_BASE_URL": base_url, "VLLM_API_KEY_FILE": str(key), "CONTEXT_TOKENS": str(context_tokens),
        })  # fmt: skip


def table(found: dict[str, Any]) -> list[str]:
    """One row for each set of questions and way of finding pages."""
    lines = [
        "| questions | pages found by | right page first | right page read | right page cited | answer right "
        "| in its own words | p50 | longest |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name in SETS:
        for variant, sets in found["figures"].items():
            if name not in sets:
                continue
            f = sets[name]
            count = f["asked"]
            pages = [f"{f[key]}/{count}" if name != "unanswerable" else "-" for key in ("first", "read", "cited")]
            lines.append(
                f"| {name} | {VARIANTS[variant]} | {' | '.join(pages)} | {f['right']}/{count} | {f['own_words']} "
                f"| {f['p50_s']:.1f} s | {f['longest_s']:.1f} s |"
            )
    return lines


def wrong(found: dict[str, Any]) -> list[str]:
    """What the way that is served got wrong."""
    rows = []
    for result in found["results"].get("both", []):
        if not (result["right"] and result["cited"]):
            what = "wrong" if not result["right"] else "right, other page"
            answer = " ".join(result["answer"].split()).replace("|", "\\|")[:160]
            rows.append(f"| {result['set']} | {result['question']} | {what}, {result['support']} | {answer} |")
    return rows


def page(found: dict[str, Any], repo: str, context_tokens: int) -> str:
    """docs/eval.md, with what it was measured on."""
    indexing = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in found["indexing_s"].items())
    lines = [
        "# Measured: how good the answers are",
        "",
        f"Written by `make eval` on {datetime.now(UTC):%Y-%m-%d}: {repo}, context {context_tokens} tokens, "
        f"{os.cpu_count()} cores, load average at the end {os.getloadavg()[0]:.1f}. Every question of "
        "`samples/questions.yaml` is asked to all samples at once (8 documents, 96 pages and chapters).",
        "",
        *table(found),
        "",
        *(f"- {name}: {meaning}." for name, meaning in SETS.items()),
        "- An answer is right when it has the expected words (figures, names); in its own words: the model's, and the "
        "cited sentence bears them out. The other right ones are sentences of the document, word for word.",
        "- The seconds are those of the answer alone, one question at a time, on a machine with the load given above.",
        f"- Indexing took: {indexing}.",
        "",
        "## What was wrong, with both",
        "",
        "| questions | asked | what | answer |",
        "| --- | --- | --- | --- |",
        *wrong(found),
        "",
    ]
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m operate.eval", description=__doc__)
    parser.add_argument("--stack", default="dev")
    parser.add_argument("--every", type=int, default=1, help="ask every n-th question only")
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=VARIANTS)
    parser.add_argument("--write", action="store_true", help="write docs/eval.md")
    given = parser.parse_args(arguments)
    stack = outputs(given.stack)
    refuse_far_stack(given.stack, stack)
    context_tokens = _context_tokens(stack["api_url"], stack["api_key"])
    found = evaluate(stack["api_url"], stack["api_key"], context_tokens, given.every, given.variants)
    print("\n".join(table(found)))
    if given.write:
        PAGE.write_text(page(found, stack["model"]["repo"], context_tokens), encoding="utf-8")
        print(f"\nwritten: {PAGE.relative_to(REPOSITORY)}")
    return 0


def _context_tokens(api_url: str, api_key: str) -> int:
    """The window with which vLLM serves the model, as vLLM itself says it."""
    answer = httpx.get(f"{api_url}/models", headers={"Authorization": f"Bearer {api_key}"}, trust_env=False, timeout=30)
    if answer.is_error:
        raise StepFailed(f"{api_url}/models answered {answer.status_code}", "make up")
    return int(answer.json()["data"][0]["max_model_len"])


if __name__ == "__main__":
    sys.exit(main_guard(lambda: main(sys.argv[1:])))
