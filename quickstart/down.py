"""`make down` and `make clean`: take the dev stack away, or everything that was ever made."""

from __future__ import annotations

import shutil
import subprocess

import lab.commands
import lab.engine
import toolchain.installation
from machine import python_env
from machine.console import line, step
from machine.paths import REPOSITORY, STATE, VENV, cache
from quickstart import pulumi
from quickstart.environment import environment
from quickstart.up import STACK

OURS = "label=pageindex-stack.stack"


def down() -> int:
    """Destroy the dev stack; the weights stay."""
    if pulumi.resource_count(STACK) == 0:
        line(f"stack {STACK} is not up")
        return 0
    pulumi.call("destroy", "--stack", STACK, "--yes", "--skip-preview", "--suppress-outputs")
    return 0


def clean() -> int:
    """Remove all stacks of this clone, what they left, the lab, caches and the environment. Packages of apt stay."""
    down()
    if lab.engine.docker_host_in_use() or _docker("version") is not None:
        with step("Remove what carries our labels") as current:
            current.result(f"{remove_labelled()} removed")
    with step("Remove the lab"):
        lab.commands.clean()
    with step("Remove caches, state and environment"):
        toolchain.installation.clean()
        for folder in (cache(), STATE, VENV, python_env.APP_TESTS.folder):
            shutil.rmtree(folder, ignore_errors=True)
        for folder in REPOSITORY.glob("*.egg-info"):
            shutil.rmtree(folder, ignore_errors=True)
    return 0


def remove_labelled() -> int:
    """Containers, networks, volumes and images of ours, whichever stack they belonged to."""
    count = 0
    for kind, remove in (
        ("container", ["container", "rm", "--force", "--volumes"]),
        ("network", ["network", "rm"]),
        ("volume", ["volume", "rm", "--force"]),
    ):
        every = ["--all"] if kind == "container" else []
        found = (_docker(kind, "ls", *every, "--quiet", "--filter", OURS) or "").split()
        if found:
            _docker(*remove, *found)
            count += len(found)
    images = (_docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}") or "").split()
    built = [name for name in images if name.startswith("pageindex-")]
    if built:
        _docker("image", "rm", "--force", *built)
    return count + len(built)


def _docker(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["docker", *arguments], env=environment(), capture_output=True, text=True, check=False, timeout=300
        )
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
