"""How good are the answers? Ask the samples' questions and count: pages found, answers right.

    VLLM_BASE_URL=http://127.0.0.1:8000/v1 VLLM_API_KEY_FILE=key python evaluate.py [variant ...]

Variants: both (as served), words (BM25 only), tree (the model's choice only). Everything else comes
from the app's own environment variables; documents are indexed into a temporary folder.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import yaml
from pageindex_app.answering import Source, final
from pageindex_app.retrieval import Parts, retrieve
from pageindex_app.services import Services
from pageindex_app.settings import Settings
from pageindex_app.two_step import TwoStep
from pageindex_app.uploads import receive

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
VARIANTS = {
    "both": Parts(),
    "words": Parts(model=False),
    "tree": Parts(passages=False, sections=False),
}


def right(answer: str, words: list[str | list[str]]) -> bool:
    """Every word occurs, or one of its alternatives."""
    low = answer.lower()
    return all(any(word.lower() in low for word in ([item] if isinstance(item, str) else item)) for item in words)


async def evaluate(services: Services, variant: str, questions: list[dict[str, Any]]) -> None:
    parts = VARIANTS[variant]
    strategy = TwoStep(services.model, services.settings, parts)
    sources = [Source(services.library.index(d), d) for d in services.library.all()]
    first = listed = cited = good = supported = 0
    seconds = []
    for asked in questions:
        documents = [source.index for source in sources]
        found = await retrieve(asked["question"], documents, services.model, services.settings, parts)
        pages = [(document.name, page) for document, page in found.pages]
        wanted = {(asked["file"], page) for page in asked["pages"]}
        started = time.monotonic()
        answer = await final(strategy.stream(asked["question"], sources))
        seconds.append(time.monotonic() - started)
        hit = right(answer.answer, asked["words"])
        where = {(citation.document, page) for citation in answer.citations for page in citation.pages}
        first += bool(pages) and pages[0] in wanted
        listed += bool(wanted & set(pages))
        cited += bool(wanted & where)
        good += hit
        supported += answer.support == "supported"
        if not hit or not wanted & where:
            print(f"  {'page ' if hit else 'wrong'} {asked['question']}")
            print(f"        {answer.support}: {answer.answer!r}")
    count = len(questions)
    print(
        f"{variant:6} page ranked first {first}/{count}, page among those read {listed}/{count}, "
        f"page cited {cited}/{count}, answer right {good}/{count} ({supported} in the model's own words), "
        f"p50 {sorted(seconds)[count // 2]:.1f} s, longest {max(seconds):.1f} s",
        flush=True,
    )


async def main(variants: list[str]) -> None:
    plan = yaml.safe_load((SAMPLES / "questions.yaml").read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as scratch:
        services = Services.build(Settings(data_dir=Path(scratch)))
        services.library.open()
        services.indexer.start()
        for entry in plan["documents"]:
            content = (SAMPLES / entry["file"]).read_bytes()

            async def chunks(content: bytes = content) -> AsyncIterator[bytes]:
                yield content

            started = time.monotonic()
            incoming = services.library.incoming
            document, _ = services.indexer.add(await receive(entry["file"], chunks(), incoming, services.settings))
            while (document := services.library.get(document.id)).status not in ("ready", "failed"):
                await asyncio.sleep(0.1)
            print(f"indexed {document.name}: {document.pages} pages in {time.monotonic() - started:.1f} s", flush=True)
        questions = [{**asked, "file": entry["file"]} for entry in plan["documents"] for asked in entry["questions"]]
        for variant in variants:
            await evaluate(services, variant, questions)
        await services.indexer.stop()
        await services.model.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:] or ["both"]))
