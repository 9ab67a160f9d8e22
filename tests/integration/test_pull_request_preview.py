"""What a pull request runs: every stack previewed without a host, a daemon or a secret."""

from __future__ import annotations

import subprocess

import pytest

from quickstart.environment import environment
from tests.integration.pulumi_project import REPOSITORY

pytestmark = pytest.mark.integration


def test_every_stack_is_previewed_without_host_daemon_or_secret() -> None:
    done = subprocess.run(
        [REPOSITORY / ".ci" / "preview"], env=environment(), capture_output=True, text=True, timeout=180, check=False
    )
    assert done.returncode == 0, done.stdout
    for file in REPOSITORY.glob("Pulumi.*.yaml"):
        assert f"<code>{file.name.split('.')[1]}</code> passes" in done.stdout
