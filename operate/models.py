"""`make models`: which weights a stack's host keeps, and which of them nobody needs. Needs the dependencies."""

from __future__ import annotations

import argparse
import base64
import io
import json
import os
import shlex
import subprocess
import sys
import tarfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from components.model_cache import DOWNLOADER
from components.service_image import NOT_PART_OF_AN_IMAGE, SERVICES, service_image_name
from host_access.commands import Commands, commands_on
from host_access.outcome import CheckFailed
from machine.console import StepFailed, main_guard, step
from planning.hosts.images import resolve_image
from planning.hosts.ssh import host_facts
from planning.plan import StackPlan
from planning.services.vllm import MODELS_PATH
from planning.settings.errors import BadStackFile
from planning.stack_files import plan_of_file, stack_file_of
from quickstart.environment import variables

SERVICE = "model_downloader"
GIB = 2**30
ASK_S, BUILD_S, REMOVE_S = 60.0, 900.0, 900.0


@dataclass(frozen=True)
class Copy:
    """One model on the volume, or an unfinished download of it."""

    repo: str
    revision: str
    bytes: int
    complete: bool
    verified_at: str
    used_by: str
    """Who needs it: replicas that are there, or the stack file for its next `up`; empty for nobody."""


class Cache:
    """The weights volume of a stack, on its own host."""

    def __init__(self, plan: StackPlan):
        self.plan, self.volume = plan, f"{plan.prefix}-models"
        self._commands: Commands = commands_on(host_facts(plan.settings.host))

    def _docker(self, *arguments: str, timeout_s: float = ASK_S) -> subprocess.CompletedProcess[str]:
        try:
            return self._commands.run(["docker", *arguments], timeout_s=timeout_s)
        except subprocess.TimeoutExpired:
            raise StepFailed(f"`docker {arguments[0]}` did not end within {timeout_s:.0f} s") from None

    def exists(self) -> bool:
        """Whether anything was ever downloaded."""
        if self._docker("version").returncode != 0:
            raise StepFailed("no Docker daemon answers on the stack's host", f"python -m planning {self.plan.stack}")
        return self._docker("volume", "inspect", self.volume).returncode == 0

    def needed(self) -> dict[tuple[str, str], str]:
        """Models that must stay, and for whom."""
        labels = [f"label=pageindex-stack.stack={self.plan.prefix}", "label=pageindex-stack.component=vllm"]
        filters = [word for label in labels for word in ("--filter", label)]
        form = '{{.Label "pageindex-stack.model"}}'
        printed = self._docker("ps", "--all", *filters, "--format", form).stdout
        found = {(each.model.repo, each.model.revision): "the stack file" for each in self.plan.models}
        for line in filter(None, printed.splitlines()):
            repo, revision = json.loads(line)
            found[repo, revision] = "vLLM"
        return found

    @contextmanager
    def downloader(self) -> Iterator[str]:
        """An image that knows the volume's layout: the stack's own, or one that is made for the moment."""
        base = resolve_image("python")
        name = service_image_name(SERVICE, self.plan.prefix, base)
        if self._docker("image", "inspect", name).returncode == 0:
            yield name
            return
        with step("Build the downloader's image on the host"):
            build = ["docker", "build", "--quiet", "--tag", name, "--build-arg", f"PYTHON_IMAGE={base}", "-"]
            script = f"base64 -d | {shlex.join(build)}"
            done = self._commands.run(["sh", "-c", script], text=_context(SERVICES / SERVICE), timeout_s=BUILD_S)
            if done.returncode != 0:
                raise StepFailed("the image cannot be built", log_tail=done.stderr.splitlines()[-15:])
        try:
            yield name
        finally:
            self._docker("image", "rm", name)

    def _run(self, image: str, *command: str, timeout_s: float) -> str:
        """The last line that the downloader prints."""
        mount = f"{self.volume}:{MODELS_PATH}"
        done = self._docker(
            "run", "--rm", "--network", "none", "--read-only", "--cap-drop", "ALL", "--user", DOWNLOADER,
            "--security-opt", "no-new-privileges", "--volume", mount, image, *command, timeout_s=timeout_s,
        )  # fmt: skip
        if done.returncode != 0:
            raise StepFailed(f"`{' '.join(command[:1])}` failed", log_tail=(done.stdout + done.stderr).splitlines())
        return done.stdout.splitlines()[-1]

    def copies(self, image: str) -> list[Copy]:
        """Everything that takes space, the largest first."""
        needed = self.needed()
        return [
            Copy(
                entry["repo"],
                entry["revision"] or entry["commit"],
                entry["bytes"],
                entry["complete"],
                entry["verified_at"] or "",
                needed.get((entry["repo"], entry["revision"]), ""),
            )
            for entry in json.loads(self._run(image, "list", timeout_s=ASK_S))
        ]

    def prune(self, image: str) -> int:
        """Remove what nobody needs; how many bytes that freed."""
        keep = [word for repo, revision in self.needed() for word in ("--keep", repo, revision)]
        return int(json.loads(self._run(image, "prune", *keep, timeout_s=REMOVE_S))["freed_bytes"])


def _context(directory: Path) -> str:
    """A service's folder as `docker build` takes it on its standard input, in base64."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path in sorted(directory.rglob("*")):
            inside = path.relative_to(directory)
            if path.is_file() and not NOT_PART_OF_AN_IMAGE.intersection(inside.parts):
                tar.add(path, str(inside))
    return base64.b64encode(archive.getvalue()).decode()


def table(copies: Collection[Copy]) -> str:
    """The copies as a person reads them."""
    rows = [("model", "revision", "size", "verified", "needed by")]
    for copy in copies:
        verified = f"{copy.verified_at[:16].replace('T', ' ')} UTC" if copy.complete else "unfinished download"
        size = f"{copy.bytes / GIB:.1f} GiB"
        rows.append((copy.repo, copy.revision[:12], size, verified, copy.used_by or "nobody"))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def models(file: Path, *, prune: bool = False) -> Sequence[Copy]:
    """Print what the host keeps for a stack; with ``prune`` remove what nobody needs first."""
    try:
        plan = plan_of_file(file)
    except BadStackFile as faults:
        raise StepFailed(str(faults)) from None
    cache = Cache(plan)
    for path in filter(None, (each.local_path for each in plan.models)):
        print(f"stack {plan.stack} loads {path}, a directory of its host; nothing is downloaded")
    if not cache.exists():
        print(f"stack {plan.stack} keeps no weights on its host")
        return []
    with cache.downloader() as image:
        if prune:
            with step("Remove what nobody needs") as current:
                current.result(f"{cache.prune(image) / GIB:.1f} GiB freed")
        found = cache.copies(image)
    print(table(found))
    idle = sum(copy.bytes for copy in found if not copy.used_by)
    if idle:
        print(f"\n  make models S={plan.stack} PRUNE=1   frees {idle / GIB:.1f} GiB")
    return found


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m operate.models", description=__doc__)
    parser.add_argument("--stack", default="dev", help="a stack or a stack file")
    parser.add_argument("--prune", action="store_true", help="remove what nobody needs")
    given = parser.parse_args(arguments)
    os.environ.update(variables())  # the lab's daemon, where that is the one in use
    file = stack_file_of(given.stack)
    if not file.is_file():
        raise StepFailed(f"there is no {file.name}", "ls Pulumi.*.yaml")
    try:
        models(file, prune=given.prune)
    except CheckFailed as lost:
        raise StepFailed(str(lost)) from None
    return 0


if __name__ == "__main__":
    sys.exit(main_guard(lambda: main(sys.argv[1:])))
