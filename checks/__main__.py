"""`python -m checks QUESTION`: facts as JSON on standard input, the finding as JSON on standard output.

Exit code 1 and a report on standard error when the stack is not what was promised.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any

from checks.containers import finished, healthy
from checks.facts import FACTS, WrongFacts, checked
from host_access.outcome import CheckFailed

Question = Callable[[Any], dict[str, Any]]


def _load(name: str) -> Question:
    """Import only what a question needs: gates wait for slow things, but start quickly."""
    if name in {"isolation", "other-stack"}:
        from checks import isolation

        return isolation.isolation if name == "isolation" else isolation.other_stack
    if name == "inference":
        from checks.inference import inference

        return inference
    if name == "documents":
        from checks.documents import documents

        return documents
    if name in {"gateway-files", "gateway-reload"}:
        from checks import gateway

        return gateway.gateway_files if name == "gateway-files" else gateway.gateway_reload
    if name == "ports":
        from checks.ports import ports

        return ports
    if name == "host":
        from checks.host import host

        return host
    if name == "gpu":
        from checks.gpu import gpu

        return gpu
    return {"healthy": healthy, "finished": finished}[name]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m checks", description=__doc__)
    parser.add_argument("question", choices=FACTS)
    question = parser.parse_args().question
    try:
        facts = checked(question, json.load(sys.stdin))
        print(json.dumps(_load(question)(facts)))
    except WrongFacts as error:
        print(f"{error}; the components and the checks are of different versions", file=sys.stderr)
        return 2
    except CheckFailed as failure:
        print(f"check `{question}` failed\n{failure.report()}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
