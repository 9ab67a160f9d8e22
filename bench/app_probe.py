"""Runs in the environment of the app's tests: the app and PageIndex called bare, alternating; prints JSON.

python bench/app_probe.py BASE_URL KEY_FILE   # the real model's address, as the app is given it
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parents[1]
SERVICE = ROOT / "services" / "pageindex_app"
SAMPLES = ROOT / "samples"
sys.path[:0] = [str(SERVICE), str(ROOT)]

from bench.scripted_model import scripted_model  # noqa: E402

HARBOUR, LONG = "harbour-report-2025.pdf", "valley-water-review.pdf"
QUESTION = "How deep is the approach channel at lowest tide?"
SUMMARY_WORDS = 30  # so that most sections of the report get a summary by the model
ROUNDS = 4
CALL_S = 0.25  # of the scripted model, about what a small model takes for a short reply on a card
PEOPLE, QUESTIONS_EACH = 20, 5
DOCUMENTS, LISTINGS = 200, 100
WARM_UP, REQUESTS = 150, 500
START_S = 120


@contextmanager
def app(model_url: str, key_file: str, **settings: str) -> Iterator[tuple[httpx.Client, int]]:
    """The app as a process of its own, on loopback: a client, and the process's id."""
    with tempfile.TemporaryDirectory() as data, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        environment = {
            **os.environ, "VLLM_BASE_URL": model_url, "VLLM_API_KEY_FILE": key_file, "DATA_DIR": data,
            "HOST": "127.0.0.1", "PORT": str(port), "PYTHONPATH": str(SERVICE), **settings,
        }  # fmt: skip
        command = [sys.executable, "-m", "pageindex_app"]
        server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=600, trust_env=False) as client:
                deadline = time.monotonic() + START_S
                while not _alive(client):
                    if time.monotonic() > deadline or server.poll() is not None:
                        raise SystemExit("the app does not start")
                    time.sleep(0.1)
                yield client, server.pid
        finally:
            server.terminate()
            server.wait(60)


def _alive(client: httpx.Client) -> bool:
    try:
        return client.get("/health").status_code == 200
    except httpx.HTTPError:
        return False


def seconds(work: Callable[[], Any]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started


def index_by_app(client: httpx.Client, name: str, content: bytes) -> dict[str, Any]:
    """Upload, and wait for the end of it; an answer is asked for often, so that waiting adds nothing."""
    document = client.post("/api/documents", files={"file": (name, content)}).raise_for_status().json()
    while document["status"] not in ("ready", "failed"):
        time.sleep(0.01)
        document = client.get(f"/api/documents/{document['id']}").raise_for_status().json()
    if document["status"] == "failed":
        raise SystemExit(f"{name}: {document['error']}")
    return dict(document)


class Bare:
    """PageIndex's own client, configured as the app configures it."""

    def __init__(self, model_url: str, key_file: str, storage: Path, **settings: Any) -> None:
        # Of the environment that this runs in, not of the program's.
        from pageindex import PageIndexLocalClient  # type: ignore[import-not-found]
        from pageindex_app.base.settings import Settings  # type: ignore[import-not-found]

        chosen = Settings(vllm_base_url=model_url, vllm_api_key_file=Path(key_file), **settings)
        self._settings = chosen
        backend = {"api_key": chosen.api_key(), "timeout": chosen.model_timeout_s}
        self.client = PageIndexLocalClient(
            index={
                "mode": "local",
                "model": f"openai/{chosen.vllm_model}",
                "backend": {"api_base": model_url, "max_tokens": chosen.summary_max_words * 2 + 50, **backend},
                "storage_path": str(storage),
                "summary_concurrency": chosen.summary_concurrency,
                "summary_max_words": chosen.summary_max_words,
                "optimize": chosen.optimize,
            },
            chat={
                "mode": "local",
                "model": f"openai/{chosen.vllm_model}",
                "backend": {"base_url": model_url, **backend},
            },
        )

    def index(self, file: Path) -> str:
        return str(self.client.submit_document(str(file))["doc_id"])

    def ask(self, document_id: str, question: str) -> str:
        return str(self.client.chat(question, doc_id=[document_id], citations=True, max_turns=12))


def alternating(
    rounds: int, first: Callable[[], float], second: Callable[[], float]
) -> tuple[list[float], list[float]]:
    """Both in each round, the one that begins changing: what one warms up helps the other as often."""
    one: list[float] = []
    other: list[float] = []
    for number in range(rounds):
        turns = [(one, first), (other, second)]
        for taken, work in turns if number % 2 == 0 else reversed(turns):
            taken.append(work())
    return one, other


def indexing(model_url: str, key_file: str, name: str, rounds: int) -> dict[str, Any]:
    """From the upload to ready, against `submit_document` in a process that has its imports behind it."""
    content = (SAMPLES / name).read_bytes()
    with (
        app(model_url, key_file, SUMMARY_MAX_WORDS=str(SUMMARY_WORDS)) as (client, _),
        tempfile.TemporaryDirectory() as folder,
    ):
        bare = Bare(model_url, key_file, Path(folder), summary_max_words=SUMMARY_WORDS)

        def by_app() -> float:
            took = seconds(lambda: found.append(index_by_app(client, name, content)["id"]))
            client.delete(f"/api/documents/{found.pop()}").raise_for_status()
            return took

        def by_hand() -> float:
            return seconds(lambda: bare.client.delete_document(bare.index(SAMPLES / name)))

        found: list[str] = []
        by_app(), by_hand()  # the worker's and the library's imports
        ours, theirs = alternating(rounds, by_app, by_hand)
    return {"app_s": ours, "bare_s": theirs}


def indexing_at_once(key_file: str) -> dict[str, Any]:
    """A long report with a model that answers at once: what is left is PageIndex's own work, and ours."""
    with scripted_model() as url:
        return indexing(url, key_file, LONG, ROUNDS)


def asking(key_file: str) -> dict[str, Any]:
    """One question to PageIndex's agent through the API, and by the library's own `chat`."""
    with (
        scripted_model(CALL_S) as url,
        app(url, key_file, ANSWER_MODE="agent", TREE_OPTIMIZE="merge") as (client, _),
        tempfile.TemporaryDirectory() as folder,
    ):
        document = index_by_app(client, HARBOUR, (SAMPLES / HARBOUR).read_bytes())
        bare = Bare(url, key_file, Path(folder), tree_optimize="merge")
        stored = bare.index(SAMPLES / HARBOUR)
        body = {"question": QUESTION, "document_ids": [document["id"]]}

        def by_app() -> float:
            return seconds(lambda: check(client.post("/api/ask", json=body)))

        def by_hand() -> float:
            return seconds(lambda: bare.ask(stored, QUESTION))

        by_app(), by_hand()
        ours, theirs = alternating(5 * ROUNDS, by_app, by_hand)
    return {"app_s": ours, "bare_s": theirs}


def check(reply: httpx.Response) -> dict[str, Any]:
    answer: dict[str, Any] = reply.raise_for_status().json()
    if "11.8" not in answer["answer"] or answer["citations"][0]["pages"] != [4]:
        raise SystemExit(f"a wrong answer: {answer}")
    return answer


def many(key_file: str) -> dict[str, Any]:
    """Many documents, many people, many requests: against a model that answers at once."""
    with scripted_model() as url, app(url, key_file, MODEL_CONCURRENCY="8") as (client, pid):
        harbour = index_by_app(client, HARBOUR, (SAMPLES / HARBOUR).read_bytes())["id"]
        for number in range(1, DOCUMENTS):
            name, text = f"note-{number}.md", f"# Note {number}\n\n## Colour\n\nLamp {number} is green.\n"
            index_by_app(client, name, text.encode())
        listings = []
        for _ in range(LISTINGS):
            listings.append(seconds(lambda: client.get("/api/documents", params={"limit": DOCUMENTS}).json()))
        listed = len(client.get("/api/documents", params={"limit": DOCUMENTS}).json()["documents"])
        body = {"question": QUESTION, "document_ids": [harbour]}
        everyone = {"question": QUESTION}

        def person(number: int) -> list[float]:
            with httpx.Client(base_url=client.base_url, timeout=300, trust_env=False) as own:
                return [
                    seconds(lambda: check(own.post("/api/ask", json=everyone if number % 2 else body)))
                    for _ in range(QUESTIONS_EACH)
                ]

        with ThreadPoolExecutor(PEOPLE) as pool:  # an answer that fails or is wrong ends the run
            waits = sorted(wait for waited in pool.map(person, range(PEOPLE)) for wait in waited)
        for _ in range(WARM_UP):
            check(client.post("/api/ask", json=body))
        memory = [resident_mib(pid)]
        for number in range(1, REQUESTS + 1):
            check(client.post("/api/ask", json=body))
            if number % 100 == 0:
                memory.append(resident_mib(pid))
    return {
        "listed": listed,
        "listing_ms": [1000 * value for value in listings],
        "people_s": waits,
        "memory_mib": memory,
    }


def resident_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


def two_step(model_url: str, key_file: str) -> list[float]:
    """A question to the real model through the API; nothing to compare with, PageIndex has no two-step."""
    with app(model_url, key_file) as (client, _):
        document = index_by_app(client, HARBOUR, (SAMPLES / HARBOUR).read_bytes())
        body = {"question": QUESTION, "document_ids": [document["id"]]}
        return [seconds(lambda: client.post("/api/ask", json=body).raise_for_status()) for _ in range(ROUNDS)]


def main(model_url: str, key_file: str) -> None:
    parts: dict[str, Callable[[], Any]] = {
        "many": lambda: many(key_file),
        "asking": lambda: asking(key_file),
        "indexing_long": lambda: indexing_at_once(key_file),
        "indexing": lambda: indexing(model_url, key_file, HARBOUR, ROUNDS),
        "two_step_s": lambda: two_step(model_url, key_file),
    }
    found = {}
    for name, part in parts.items():
        print(name, file=sys.stderr, flush=True)
        found[name] = part()
        medians = {key: round(statistics.median(values), 3) for key, values in _lists(found[name]).items()}
        print(f"{name}: {medians}", file=sys.stderr, flush=True)
    print(json.dumps(found))


def _lists(found: Any) -> dict[str, list[float]]:
    named = found if isinstance(found, dict) else {"s": found}
    return {key: value for key, value in named.items() if isinstance(value, list)}


if __name__ == "__main__":
    main(*sys.argv[1:3])
