"""Ask the running stack a question about a document, through the gateway, as a user does. Needs the dependencies."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import httpx

from machine.console import Step, StepFailed, main_guard, step
from operate.stack_client import client_of
from planning.stack_files import host_in, stack_file_of
from quickstart.pulumi import outputs

TIMEOUT_S = 900.0
POLL_S = 0.5


def ask(stack: str, document: Path, question: str) -> dict[str, Any]:
    """Upload the document unless the stack has it, ask, print the answer with its pages; returns the answer."""
    if not document.is_file():
        raise StepFailed(f"there is no file {document}", "make ask DOC=samples/harbour-report-2025.pdf Q='…'")
    found = outputs(stack)
    client = client_of(found, host_in(stack_file_of(stack)), "app_url", TIMEOUT_S)
    with step(f"Index {document.name}") as current:
        with document.open("rb") as file:
            kind = "application/pdf" if document.suffix == ".pdf" else "text/markdown"
            answer = _send(client, "POST", "/api/documents", files={"file": (document.name, file, kind)})
        uploaded = answer.json()
        if answer.status_code == httpx.codes.OK and uploaded["status"] == "ready":
            current.result("known already")
        else:
            _await_indexed(client, uploaded["id"], current)
    with step("Ask") as current:
        current.say("choosing sections, reading pages, answering")
        body = {"question": question, "document_ids": [uploaded["id"]]}
        found_answer: dict[str, Any] = _send(client, "POST", "/api/ask", json=body).json()
    show(question, found_answer)
    return found_answer


def _await_indexed(client: httpx.Client, document_id: str, current: Step) -> None:
    """Show how far indexing is until the document can be asked."""
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        document = _send(client, "GET", f"/api/documents/{document_id}").json()
        error, progress = document["error"], document["progress"]
        if document["status"] == "ready":
            return
        if document["status"] == "failed":
            raise StepFailed(error["message"], error["hint"])
        if time.monotonic() > deadline:
            raise StepFailed(f"not indexed within {TIMEOUT_S:.0f} s; it goes on in the background", "ask again later")
        if error:
            current.say(error["message"])
        elif progress:
            counts = f" {progress['done']} of {progress['total']}" if progress["total"] else ""
            current.say(f"{progress['stage'].replace('_', ' ')}{counts}")
        time.sleep(POLL_S)


def show(question: str, answer: dict[str, Any]) -> None:
    """Print question, answer and what it rests on."""
    print(f"\n  question  {question}")
    print(f"  answer    {answer['answer']}")
    for citation in answer["citations"]:
        pages = ", ".join(str(page) for page in citation["pages"])
        section = f", {' › '.join(citation['section'])}" if citation["section"] else ""
        print(f"  rests on  page {pages} of {citation['document']}{section}")
        if citation.get("quote"):
            print(f"            “{' '.join(citation['quote'].split())[:160]}”")
    if not answer["citations"]:
        print("  rests on  nothing: no passage of the document supports it")
    print(flush=True)


def _send(client: httpx.Client, method: str, path: str, **arguments: Any) -> httpx.Response:
    try:
        answer = client.request(method, path, **arguments)
    except httpx.HTTPError as error:
        raise StepFailed(f"{client.base_url} does not answer: {error}", "make up") from None
    if answer.is_error:
        try:
            told = answer.json()["error"]
            what, mend = f"{told['message']} (HTTP {answer.status_code})", told.get("hint") or "make up"
        except (ValueError, KeyError, TypeError):
            what, mend = f"HTTP {answer.status_code}: {answer.text[:300]}", "make up"
        raise StepFailed(what, mend)
    return answer


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m operate.ask", description=__doc__)
    parser.add_argument("--stack", default="dev")
    parser.add_argument("document", type=Path, help="a PDF or Markdown file")
    parser.add_argument("question")
    given = parser.parse_args(arguments)
    ask(given.stack, given.document, given.question)
    return 0


if __name__ == "__main__":
    sys.exit(main_guard(lambda: main(sys.argv[1:])))
