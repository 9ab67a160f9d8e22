"""How good are the answers? Index the samples, ask their questions, count: pages found, answers right.

    VLLM_BASE_URL=http://127.0.0.1:8000/v1 VLLM_API_KEY_FILE=key python evaluate.py [both words tree] [--every 4]

Variants: both (as served), words (BM25 only), tree (the model's choice only). Everything else comes from the
app's own environment variables. Documents are indexed into a temporary folder, or into --data, whose indexes a later
run uses again. `make eval` runs it on a stack.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml
from pageindex_app.answering.retrieval import Rankings, retrieve
from pageindex_app.answering.strategy import Source, final
from pageindex_app.answering.two_step import TwoStep
from pageindex_app.base.settings import Settings
from pageindex_app.documents.uploads import receive
from pageindex_app.services import Services

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
VARIANTS = {
    "both": Rankings(),
    "words": Rankings(model=False),
    "tree": Rankings(passages=False, sections=False),
}


@dataclass(frozen=True)
class Question:
    """From samples/questions.yaml; one without a file is answered by no document."""

    text: str
    words: list[str | list[str]]
    pages: frozenset[tuple[str, int]]
    set: str


@dataclass(frozen=True)
class Result:
    """What became of a question."""

    question: str
    set: str
    first: bool  # the right page was ranked first
    read: bool  # it was among those whose passages the model could read
    cited: bool
    right: bool
    support: str
    answer: str
    seconds: float


def plan() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((SAMPLES / "questions.yaml").read_text(encoding="utf-8"))
    return loaded


def questions(every: int) -> list[Question]:
    """All of them, or every n-th."""
    found = [
        Question(asked["question"], asked["words"], frozenset((entry["file"], p) for p in asked["pages"]), entry["set"])
        for entry in plan()["documents"]
        for asked in entry["questions"]
    ]
    none = [Question(asked["question"], [], frozenset(), "unanswerable") for asked in plan()["unanswerable"]]
    return [*found[::every], *none[::every]]


def right(answer: str, words: list[str | list[str]]) -> bool:
    """Every word occurs, or one of its alternatives."""
    low = answer.lower()
    return all(any(word.lower() in low for word in ([item] if isinstance(item, str) else item)) for item in words)


async def evaluate(services: Services, variant: str, asked: list[Question]) -> list[Result]:
    rankings = VARIANTS[variant]
    strategy = TwoStep(services.model, services.settings, rankings)
    sources = [Source(services.library.index(document), document) for document in services.library.ready()]
    results = []
    for number, question in enumerate(asked, 1):
        documents = [source.index for source in sources]
        found = await retrieve(question.text, documents, services.model, services.settings, rankings)
        pages = [(document.name, page) for document, page in found.pages]
        started = time.monotonic()
        answer = await final(strategy.stream(question.text, sources))
        seconds = time.monotonic() - started
        cited = {(citation.document, page) for citation in answer.citations for page in citation.pages}
        good = right(answer.answer, question.words) if question.words else answer.support == "none"
        result = Result(
            question=question.text,
            set=question.set,
            first=bool(pages) and pages[0] in question.pages,
            read=bool(question.pages & set(pages)),
            cited=bool(question.pages & cited) or not (question.pages or cited),
            right=good,
            support=answer.support,
            answer=answer.answer,
            seconds=seconds,
        )
        results.append(result)
        mark = "ok   " if result.right and result.cited else "page " if result.right else "wrong"
        print(f"{variant:5} {number:3}/{len(asked)} {mark} {seconds:5.1f} s  {question.text}", file=sys.stderr)
    return results


async def index(services: Services, name: str) -> float:
    """Seconds until a sample is indexed; 0 if it was already."""
    known = services.library.named(name)
    if known and known.status == "ready":
        return 0.0

    async def chunks() -> AsyncIterator[bytes]:
        yield (SAMPLES / name).read_bytes()

    started = time.monotonic()
    received = await receive(name, chunks(), services.library.incoming, services.settings)
    document, _ = services.indexer.add(received)
    while (document := services.library.get(document.id)).status not in ("ready", "failed"):
        await asyncio.sleep(0.05)
    if document.status == "failed":
        raise SystemExit(f"{name}: {document.error}")
    seconds = time.monotonic() - started
    print(f"indexed {name}: {document.pages} pages in {seconds:.1f} s", file=sys.stderr)
    return seconds


def summary(results: list[Result]) -> dict[str, Any]:
    """The counts of one variant and set."""
    seconds = sorted(result.seconds for result in results)
    return {
        "asked": len(results),
        "first": sum(result.first for result in results),
        "read": sum(result.read for result in results),
        "cited": sum(result.cited for result in results),
        "right": sum(result.right for result in results),
        "own_words": sum(result.right and result.support == "supported" for result in results),
        "p50_s": round(statistics.median(seconds), 2),
        "longest_s": round(seconds[-1], 2),
    }


async def main(variants: list[str], every: int, data: Path | None) -> dict[str, Any]:
    asked = questions(every)
    with tempfile.TemporaryDirectory() as scratch:
        services = Services.build(Settings(data_dir=data or Path(scratch)))
        services.library.open()
        services.indexer.start()
        try:
            indexing = {entry["file"]: await index(services, entry["file"]) for entry in plan()["documents"]}
            # Interleaved variants would share vLLM's prefix cache; one after the other each pays for itself.
            found = {variant: await evaluate(services, variant, asked) for variant in variants}
        finally:
            await services.indexer.stop()
            await services.model.close()
    sets = list(dict.fromkeys(question.set for question in asked))
    return {
        "indexing_s": {name: round(seconds, 1) for name, seconds in indexing.items()},
        "figures": {
            variant: {name: summary([result for result in results if result.set == name]) for name in sets}
            for variant, results in found.items()
        },
        "results": {variant: [asdict(result) for result in results] for variant, results in found.items()},
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("variants", nargs="*", default=["both"], choices=VARIANTS, metavar="both|words|tree")
    parser.add_argument("--every", type=int, default=1, help="ask every n-th question only")
    parser.add_argument("--data", type=Path, help="keep the indexes in this folder")
    given = parser.parse_args()
    print(json.dumps(asyncio.run(main(given.variants, given.every, given.data)), ensure_ascii=False))
