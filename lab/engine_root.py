"""The root file system that the lab's programs come from: a Debian of its own, and a `docker` command out of it."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from lab import paths
from machine import debian
from machine.console import Step, StepFailed

SUITE = "forky"
PACKAGES = (
    "ca-certificates",
    "docker-cli",
    "docker-registry",
    "docker.io",
    "iproute2",
    "iptables",
    "openssh-server",
    "tini",
)
ROOT_MIB = 700  # measured: 420 MiB, and the packages while they are unpacked
HOST_CLI = Path("/usr/local/bin/docker")


def root() -> Path:
    """The engine's root file system. Its name changes with what goes into it, so that a changed recipe is rebuilt."""
    recipe = json.dumps([SUITE, PACKAGES, debian.MIRROR])
    return paths.STATE / f"root-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"


def inside_root(program: str) -> list[str]:
    """How to run a program of the engine's root on the host itself: with the root's loader and libraries."""
    inside = root()
    loader = inside / "lib64" / "ld-linux-x86-64.so.2"
    return [str(loader), "--library-path", str(inside / "usr/lib/x86_64-linux-gnu"), str(inside / "usr/bin" / program)]


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Two commands at once must not build the same root or start two daemons on the same data."""
    paths.RUN.mkdir(parents=True, exist_ok=True)
    with (paths.RUN / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def make_root(current: Step) -> None:
    target = root()
    if target.exists():
        return
    debian.require_space(paths.STATE, ROOT_MIB, "a Docker engine of our own")
    unfinished = target.with_suffix(".part")
    shutil.rmtree(unfinished, ignore_errors=True)
    paths.STATE.mkdir(parents=True, exist_ok=True)
    current.say(f"installing Debian {SUITE}'s Docker engine into a root of its own")
    debian.make_root(SUITE, PACKAGES, unfinished, current, paths.cache() / "engine-root.log")
    unfinished.rename(target)


def ensure_root(current: Step) -> None:
    """The root alone, for the other programs in it."""
    if not root().exists():
        debian.require_root("making a root file system")
        with alone():
            make_root(current)


def offer_cli() -> None:
    """A `docker` command for machines without one: the engine's own, run with its own libraries.

    Debian's docker.io would do too, but it brings a daemon that starts at the next boot, and speaks an API that
    Engine 29 refuses.
    """
    if cli_is_ours() or not HOST_CLI.exists():
        debian.require_root(f"writing {HOST_CLI}")
        words = " ".join(inside_root("docker"))
        HOST_CLI.write_text(
            "#!/bin/sh\n# Made by pageindex-stack's lab, which removes it again (python3 -m lab clean).\n"
            f'exec {words} "$@"\n'
        )
        HOST_CLI.chmod(0o755)
    if shutil.which("docker") is None:
        raise StepFailed(f"{HOST_CLI} is there, but not on PATH", f'export PATH="$PATH:{HOST_CLI.parent}"')


def cli_is_ours() -> bool:
    try:
        return "pageindex-stack's lab" in HOST_CLI.read_bytes()[:200].decode("ascii")
    except (OSError, UnicodeDecodeError):
        return False


def in_root(*command: str) -> str:
    """Output of a command of the root: the same tools, and the same kind of tables, that dockerd has used."""
    words = ["chroot", str(root()), *command]
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout
