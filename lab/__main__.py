"""python3 -m lab up|down|status|clean|env|host: a Docker host with all that it needs, and a simulated GPU host."""

from __future__ import annotations

import os
import sys

from lab import engine, paths
from machine.console import main_guard

USAGE = """\
usage: python3 -m lab COMMAND

  up      make and start what is missing: Docker engine, registry, images, model hub
  down    stop them, the GPU host too; images, volumes and the model stay
  status  say what runs
  clean   stop them and remove all that they ever made
  env     print what a shell should export to use them (prints nothing when nothing of the lab is in use)
  host PROFILE [foreign=CARD:MIB] [hot=CARD:CELSIUS] [missing=CARD]
          start the simulated GPU host, or give it other cards; PROFILE is one of rtx5090x2, single24,
          single24-old-driver, single24-new-driver, gb10, none
"""


def env() -> None:
    """Runs in every new shell, so it imports and asks as little as it can."""
    docker_host = engine.docker_host_in_use()
    if docker_host is not None:
        print(f"export DOCKER_HOST={docker_host}")
    if not os.environ.get("HF_ENDPOINT") and (paths.cache() / "hub.json").exists():
        from lab import hub

        endpoint = hub.endpoint_in_use()
        if endpoint is not None:
            print(f"export HF_ENDPOINT={endpoint}")


COMMANDS = ("up", "down", "status", "clean")


def main(arguments: list[str]) -> int:
    if arguments == ["env"]:
        return main_guard(env)
    if len(arguments) > 1 and arguments[0] == "host":
        from lab import host_command

        return main_guard(lambda: host_command.main(arguments[1:]))
    if len(arguments) != 1 or arguments[0] not in COMMANDS:
        print(USAGE, end="", file=sys.stderr)
        return 2
    from lab import commands

    return main_guard(getattr(commands, arguments[0]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
