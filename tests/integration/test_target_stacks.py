"""Every hardware target, really brought up on the lab's GPU host over ssh, checked, previewed and taken down again.

What is simulated are the cards and the weights: the vLLM image parses the whole command line with vLLM's own parser and
then serves the small model on the CPU. So this proves the way to the host and everything around vLLM, never a card.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab import host as gpu_host
from lab import small_model
from tests.integration.pulumi_project import REPOSITORY, Project

pytestmark = pytest.mark.integration
PROFILES = {  # stack: the cards of the host it is made for
    "single-gpu": "single24",
    "rtx5090": "rtx5090x2",
    "rtx5090-replicas": "rtx5090x2",
    "ocr": "single24",
    "gb10": "gb10",
}

# A well-formed public key; nothing is ever reached with it.
KEY_OF_NOBODY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE3Jm0kPzGc0Q0Xl2sT7b5u1dYd0q5mW0m7cQwq3H8aZ"


def test_every_stack_file_with_cards_is_tested_here() -> None:
    files = {path.name.split(".")[1] for path in REPOSITORY.glob("Pulumi.*.yaml")}
    assert files - {"dev"} == set(PROFILES)


def settings_on(host: gpu_host.Host, stack: str) -> dict[str, Any]:
    """The stack file as it is, plus the address of this host, as a user adds it."""
    config = yaml.safe_load((REPOSITORY / f"Pulumi.{stack}.yaml").read_text())["config"]
    settings = {key.removeprefix("pageindex-stack:"): value for key, value in config.items()}
    address = {"docker": host.address, "host_key": host.host_key, "identity_file": str(host.identity_file)}
    return {**settings, "host": {**settings["host"], **address}}


def put_weights(host: gpu_host.Host, directory: str) -> None:
    """The small model where a stack expects the weights that its owner has put there."""
    there = host.path(directory)
    if not there.exists():
        there.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(small_model.ensure(), there)


class Target:
    """A deployed target, and the host it is on."""

    def __init__(self, project: Project, host: gpu_host.Host, stack: str):
        self.project, self.host, self.stack = project, host, stack

    def docker(self, *words: str) -> str:
        done = subprocess.run(self.host.ssh("docker", *words), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@pytest.fixture(scope="module", params=PROFILES)
def target(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """One stack after the other: two vLLM servers at a time are enough for a small machine."""
    stack = request.param
    host = gpu_host.ensure(PROFILES[stack])
    settings = settings_on(host, stack)
    local = settings.get("model_cache", {}).get("local_path")
    if local:
        put_weights(host, local)
    project = Project(tmp_path_factory.mktemp(stack), f"t-{stack}")
    project.write_stack_file(settings)
    project.pulumi("stack", "init", project.stack)
    try:
        project.up()
        yield Target(project, host, stack)
    finally:
        project.pulumi("destroy", "--stack", project.stack, "--yes", "--skip-preview", ok=False)
        remove = host.ssh("docker", "volume", "rm", "--force", f"{project.prefix}-models")
        subprocess.run(remove, capture_output=True, check=False)


def test_a_target_comes_up_is_unchanged_afterwards_and_leaves_only_its_weights(target: Target) -> None:
    project = target.project
    checks = project.outputs()["checks"]
    assert {name for name, result in checks.items() if result["ok"]} == set(checks)
    assert {"host", "gpu", "isolation", "inference", "documents"} <= set(checks)
    project.pulumi("preview", "--stack", project.stack, "--expect-no-changes")
    project.pulumi("preview", "--stack", project.stack, "--expect-no-changes", "--refresh")
    project.pulumi("destroy", "--stack", project.stack, "--yes", "--skip-preview")
    label = f"label=pageindex-stack.stack={project.prefix}"
    assert target.docker("ps", "--all", "--quiet", "--filter", label) == ""
    assert target.docker("network", "ls", "--quiet", "--filter", label) == ""
    kept = target.docker("volume", "ls", "--quiet", "--filter", label).split()
    assert kept == ([] if target.stack == "gb10" else [f"{project.prefix}-models"])


@pytest.mark.parametrize("stack", PROFILES)
def test_a_preview_needs_neither_the_host_nor_a_daemon(stack: str, tmp_path: Path) -> None:
    config = yaml.safe_load((REPOSITORY / f"Pulumi.{stack}.yaml").read_text())["config"]
    settings = {key.removeprefix("pageindex-stack:"): value for key, value in config.items()}
    nowhere = {"docker": "ssh://gpu@127.0.0.1:9", "host_key": KEY_OF_NOBODY}  # nothing listens there
    project = Project(tmp_path, f"p-{stack}")
    project.environment["DOCKER_HOST"] = "unix:///nowhere/docker.sock"
    project.write_stack_file({**settings, "host": {**settings["host"], **nowhere}})
    project.pulumi("stack", "init", project.stack)
    told = project.pulumi("preview", "--stack", project.stack, timeout_s=60).stdout
    assert "to create" in told
