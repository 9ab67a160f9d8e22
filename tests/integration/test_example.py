"""The example of the README: components of this repository in somebody else's program."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from quickstart.environment import environment
from tests.integration.conftest import remove_leftovers
from tests.integration.pulumi_project import REPOSITORY, docker

pytestmark = pytest.mark.integration
PREFIX = "pageindex-example"


@pytest.fixture
def example(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment in which the example's own stack lives."""
    variables = {
        **environment(),
        "PULUMI_BACKEND_URL": f"file://{tmp_path}",
        "PULUMI_CONFIG_PASSPHRASE": "only-for-tests",
    }
    pulumi(variables, "stack", "init", "example")
    try:
        yield variables
    finally:
        pulumi(variables, "destroy", "--yes", "--skip-preview")
        (REPOSITORY / "examples" / "private-model" / "Pulumi.example.yaml").unlink(missing_ok=True)
        remove_leftovers(PREFIX)


def pulumi(variables: dict[str, str], *arguments: str) -> str:
    done = subprocess.run(
        ["pulumi", *arguments, "--non-interactive"],
        cwd=REPOSITORY / "examples" / "private-model",
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_example_comes_up_isolated_with_its_file_and_a_second_preview_is_empty(example: dict[str, str]) -> None:
    pulumi(example, "up", "--yes", "--skip-preview")
    worker = f"{PREFIX}-worker"
    routes = docker("exec", worker, "cat", "/proc/net/route").splitlines()[1:]
    assert all(route.split()[1] != "00000000" for route in routes)
    assert len(docker("exec", worker, "cat", "/run/pageindex-stack/key")) == 43
    pulumi(example, "preview", "--expect-no-changes", "--refresh")
