"""The lab as a whole: up, down, status, clean."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

from lab import engine, host, hub, images, paths, recipes, registry
from machine.console import StepFailed, line
from planning.hosts.images import image_names


def stand_in_names() -> list[str]:
    """Every image of images.compose.yaml that the lab has a recipe for."""
    return [name for name in image_names().values() if recipes.known(name) and not recipes.for_gpu(name)]


def up() -> None:
    """Images are mostly downloads and unpacking, so the hub's model is made beside them."""
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
    host.down()
    hub.down()
    registry.down()
    engine.down()


def clean() -> None:
    host.clean()
    chosen = os.environ.get("DOCKER_HOST") or f"unix://{engine.DEFAULT_SOCKET}"
    hub.clean()
    registry.clean()
    if chosen != paths.ENGINE_HOST and engine.version(chosen) is not None:
        images.clean(chosen)  # the user's own engine: it keeps all but the stand-ins
    engine.clean()


def status() -> None:
    print(f"engine    {engine.status()}")
    print(f"registry  {registry.status()}")
    print(f"hub       {hub.status()}")
    print(f"GPU host  {host.status()}")
