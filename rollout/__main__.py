"""`python -m rollout`: one replica's facts as JSON on standard input; ends when that replica is the one in use.

Exit code 1 and a report on standard error when it isn't, and what serves instead.
"""

from __future__ import annotations

import json
import sys

from host_access.outcome import CheckFailed
from rollout.facts import Facts
from rollout.host import DockerReplicas
from rollout.steps import Rollout


def main() -> int:
    facts = Facts.read(json.load(sys.stdin))
    try:
        print(json.dumps(Rollout(facts, DockerReplicas(facts)).run()))
    except CheckFailed as failure:
        print(f"rollout of {facts.what} failed\n{failure.report()}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
