"""`python3 -m quickstart [up | down | clean | venv | env]`: what the Makefile calls."""

from __future__ import annotations

import sys

from machine.console import main_guard

USAGE = """usage: python3 -m quickstart [up | down | clean | venv | env]

  up      add what is missing on this machine, bring up stack dev, ask it one question
  down    destroy stack dev, keeping the weights
  clean   remove everything that was ever made; asks before documents go, --yes does not
  venv    make the Python environment alone
  env     print the export lines that ./env.sh evaluates"""


def main(arguments: list[str]) -> int:
    command = arguments[0] if len(arguments) == 1 else "help"
    if arguments in (["clean"], ["clean", "--yes"]):
        from quickstart import down

        return down.clean(confirmed="--yes" in arguments)
    if command == "env":
        from quickstart.environment import export_lines

        print("\n".join(export_lines()))
        return 0
    if command == "up":
        from quickstart.up import up

        return up()
    if command == "down":
        from quickstart import down

        return down.down()
    if command == "venv":
        from machine import python_env

        python_env.PROGRAM.ensure()
        return 0
    print(USAGE, file=sys.stderr)
    return 0 if command in {"help", "-h", "--help"} else 2


if __name__ == "__main__":
    sys.exit(main_guard(lambda: main(sys.argv[1:])))
