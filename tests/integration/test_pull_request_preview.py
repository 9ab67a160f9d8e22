"""What a pull request runs: every stack previewed without a host, a daemon or a secret.

Takes over 60 s because every stack file is previewed by the real Pulumi.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from quickstart.environment import environment
from tests.integration.pulumi_project import REPOSITORY, Project

pytestmark = pytest.mark.integration


def preview(clone: Path) -> subprocess.CompletedProcess[str]:
    """The script of ``clone``, on what is committed there."""
    return subprocess.run(
        [clone / ".ci" / "preview"], env=environment(), capture_output=True, text=True, timeout=180, check=False
    )


def test_every_stack_is_previewed_without_host_daemon_or_secret() -> None:
    done = preview(REPOSITORY)
    assert done.returncode == 0, done.stdout
    for file in REPOSITORY.glob("Pulumi.*.yaml"):
        assert f"<code>{file.name.split('.')[1]}</code> passes" in done.stdout


def test_a_stack_file_with_secrets_is_previewed_without_their_passphrase(tmp_path: Path) -> None:
    """A stack file as its owner commits it: a salt of their passphrase, and secrets that only it opens."""
    (tmp_path / "owner").mkdir()
    owner = Project(tmp_path / "owner", "ours")
    owner.stack_file.write_text((REPOSITORY / "Pulumi.single-gpu.yaml").read_text())
    owner.pulumi("stack", "init", owner.stack)
    owner.pulumi("config", "set", "--secret", "--path", "api_keys.alice", "a" * 32)
    owner.pulumi("config", "set", "--secret", "--path", 'api_keys["alice@next"]', "b" * 32)
    owner.pulumi("config", "set", "--path", "gateway.clients.alice.requests_per_minute", "60")
    clone = tmp_path / "clone"
    git("clone", "-q", str(REPOSITORY), str(clone))
    git("-C", str(clone), "rm", "-q", "Pulumi.*.yaml")
    committed = clone / owner.stack_file.name
    committed.write_text(owner.stack_file.read_text())
    assert "encryptionsalt" in committed.read_text()
    git("-C", str(clone), "add", committed.name)
    git("-C", str(clone), "-c", "user.name=owner", "-c", "user.email=owner@localhost", "commit", "-qm", "Ours")
    (clone / ".venv").symlink_to(REPOSITORY / ".venv")
    done = preview(clone)
    assert done.returncode == 0, done.stdout
    assert "<code>ours</code> passes" in done.stdout


def git(*arguments: str) -> None:
    subprocess.run(["git", *arguments], check=True, timeout=60)
