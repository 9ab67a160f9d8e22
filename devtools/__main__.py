"""`python3 -m devtools check|test|release`: what `make check`, `make test` and `make release` call."""

from __future__ import annotations

import argparse
import sys

from machine.console import StepFailed, main_guard


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python3 -m devtools", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("check", help="format, lint, types and unit tests").add_argument("--area", choices=["app"])
    test = verbs.add_parser("test", help="all tests, those of one area, or those that a change touches")
    test.add_argument("--area", help="`--area help` lists them")
    test.add_argument("--changed", action="store_true", help="what differs from the main branch")
    verbs.add_parser("release", help="the release checklist")
    chosen = parser.parse_args(arguments)
    if chosen.verb == "release":
        from devtools import release

        return release.main()
    return _check_or_test(chosen)


def _check_or_test(chosen: argparse.Namespace) -> int:
    from devtools import areas, testing

    if chosen.verb == "check":
        return testing.check_app() if chosen.area else testing.check()
    if chosen.area:
        try:
            area = areas.find(chosen.area)
        except areas.UnknownArea as error:
            raise StepFailed(str(error), "make test A=planning") from None
        return testing.test_areas([area])
    return testing.test_changed() if chosen.changed else testing.test()


if __name__ == "__main__":
    sys.exit(main_guard(lambda: main(sys.argv[1:])))
