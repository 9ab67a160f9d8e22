"""Every hardware target, previewed as a pull request does it: its host is not there, and neither is a daemon."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.integration.pulumi_project import REPOSITORY, Project

pytestmark = pytest.mark.integration
TARGETS = sorted({path.name.split(".")[1] for path in REPOSITORY.glob("Pulumi.*.yaml")} - {"dev"})
# A well-formed public key; nothing is ever reached with it.
KEY_OF_NOBODY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE3Jm0kPzGc0Q0Xl2sT7b5u1dYd0q5mW0m7cQwq3H8aZ"


@pytest.mark.parametrize("stack", TARGETS)
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
