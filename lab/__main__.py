"""python3 -m lab up|down|status|clean|env|host: a Docker host with all that it needs, and a simulated GPU host."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

from lab import engine, paths
from quickstart.console import StepFailed, line, main_guard

IMAGES_FILE = Path(__file__).parent.parent / "images.compose.yaml"
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


def stand_in_names() -> list[str]:
    """Every image of images.compose.yaml that the lab has a recipe for."""
    from lab import recipes

    found = re.findall(r"^\s*image:\s*(\S+)", IMAGES_FILE.read_text(encoding="utf-8"), re.MULTILINE)
    return [name for name in found if recipes.known(name) and not recipes.for_gpu(name)]


def up() -> None:
    """Images are mostly downloads and unpacking, so the hub's model is made beside them."""
    from concurrent.futures import ThreadPoolExecutor

    from lab import hub, images, registry

    docker_host = engine.ensure()
    if docker_host == paths.ENGINE_HOST:
        registry.ensure()
    with ThreadPoolExecutor() as pool:
        making_images = pool.submit(images.ensure, stand_in_names(), docker_host)
        making_model = pool.submit(hub.ensure, docker_host)
    failures = [failure for failure in (making_images.exception(), making_model.exception()) if failure is not None]
    for failure in failures[1:]:
        line(failure.report() if isinstance(failure, StepFailed) else repr(failure))
    if failures:
        raise failures[0]
    status()


def down() -> None:
    from lab import host, hub, registry

    host.down()
    hub.down()
    registry.down()
    engine.down()


def clean() -> None:
    from lab import host, hub, images, registry

    host.clean()
    chosen = os.environ.get("DOCKER_HOST") or f"unix://{engine.DEFAULT_SOCKET}"
    hub.clean()
    registry.clean()
    if chosen != paths.ENGINE_HOST and engine.version(chosen) is not None:
        images.clean(chosen)  # the user's own engine: it keeps all but the stand-ins
    engine.clean()


def status() -> None:
    from lab import host, hub, registry

    print(f"engine    {engine.status()}")
    print(f"registry  {registry.status()}")
    print(f"hub       {hub.status()}")
    print(f"GPU host  {host.status()}")


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


COMMANDS: dict[str, Callable[[], None]] = {"up": up, "down": down, "status": status, "clean": clean, "env": env}


def main(arguments: list[str]) -> int:
    if len(arguments) > 1 and arguments[0] == "host":
        from lab import host

        return main_guard(lambda: host.main(arguments[1:]))
    if len(arguments) != 1 or arguments[0] not in COMMANDS:
        print(USAGE, end="", file=sys.stderr)
        return 2
    return main_guard(COMMANDS[arguments[0]])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
