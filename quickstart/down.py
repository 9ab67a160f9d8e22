"""`make down` and `make clean`: take the dev stack away, or everything that was ever made."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping

import lab.commands
import lab.engine
import toolchain.installation
from machine import python_env
from machine.console import StepFailed, line, step
from machine.paths import REPOSITORY, STATE, VENV, cache
from planning.hosts.images import image_names
from quickstart import pulumi
from quickstart.environment import environment
from quickstart.up import STACK

OURS = "label=pageindex-stack.stack"


def down() -> int:
    """Destroy the dev stack; the weights stay, its documents do not."""
    if pulumi.resource_count(STACK) == 0:
        line(f"stack {STACK} is not up")
        return 0
    destroy()
    stay = [volume for volume in volumes() if volume.endswith("-models")]
    line()
    line(f"  gone      stack {STACK} and the documents that were in it")
    line(f"  stays     {', '.join(stay) or 'no weights'}: weights, which the next `make up` finds; images; the lab")
    line("  next      make up   or   make clean, which removes everything")
    return 0


def destroy() -> None:
    """`pulumi destroy`, with Pulumi's own display."""
    pulumi.call("destroy", "--stack", STACK, "--yes", "--skip-preview", "--suppress-outputs")


def clean(*, confirmed: bool) -> int:
    """Remove all stacks of this clone, what they left, the lab, caches and the environment. Packages of apt stay.

    Documents cannot be fetched again: without ``confirmed`` somebody is asked before they go.
    """
    if not confirmed:
        confirm_loss(documents())
    if pulumi.resource_count(STACK):
        destroy()
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


def confirm_loss(lost: Mapping[str, int | None]) -> None:
    """Ask before documents are removed; StepFailed unless somebody says yes. Nothing to lose needs no question."""
    if not lost:
        return
    counted = ", ".join(f"{volume} ({'?' if count is None else count})" for volume, count in lost.items())
    what = f"make clean removes documents that people uploaded, in {counted}; nothing brings them back"
    if not sys.stdin.isatty():
        raise StepFailed(f"{what}, and there is nobody to ask", "make clean YES=1")
    line(what)
    if input("Remove them? Type yes: ").strip().lower() != "yes":
        raise StepFailed("nothing was removed", "make clean YES=1   # or make down, which takes the stack away")


def documents() -> dict[str, int | None]:
    """Volume to the number of documents in it that are not our samples; None where nobody can look inside."""
    found = {volume: _uploaded(volume) for volume in volumes() if volume.endswith("-documents")}
    return {volume: count for volume, count in found.items() if count != 0}


def _uploaded(volume: str) -> int | None:
    look = ["find", "/data/originals", "-type", "f", "-printf", "%f %s\n"]
    limits = ["--rm", "--network", "none", "--read-only", "--volume", f"{volume}:/data:ro"]
    program, *arguments = look
    image = image_names()["python"]
    listed = _docker("run", "--pull", "never", *limits, "--entrypoint", program, image, *arguments)
    if listed is None:
        return None
    ours = [*(REPOSITORY / "samples").iterdir(), REPOSITORY / "checks" / "sample.pdf"]
    samples = {f"{path.name} {path.stat().st_size}" for path in ours if path.is_file()}
    return len([entry for entry in listed.splitlines() if entry not in samples])


def volumes() -> list[str]:
    """Names of the volumes that carry our label."""
    return sorted((_docker("volume", "ls", "--quiet", "--filter", OURS) or "").split())


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
