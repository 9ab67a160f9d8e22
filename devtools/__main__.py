"""`python3 -m devtools [check | test]`: what `make check` and `make test` call."""

from __future__ import annotations

import sys

from machine.console import main_guard

USAGE = """usage: python3 -m devtools [check | test]

  check   format, lint, types and unit tests
  test    all tests"""


def main(arguments: list[str]) -> int:
    if arguments not in (["check"], ["test"]):
        print(USAGE, file=sys.stderr)
        return 2
    from devtools import testing

    return testing.check() if arguments == ["check"] else testing.test()


if __name__ == "__main__":
    sys.exit(main_guard(lambda: main(sys.argv[1:])))
