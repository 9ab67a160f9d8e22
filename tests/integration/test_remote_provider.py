"""The docker provider over ssh with our options: it shares one connection, and obeys the pinned key."""

from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from planning.hosts.ssh import SshHost
from quickstart.environment import environment
from tests.integration.pulumi_project import PASSPHRASE, REPOSITORY, docker
from tests.integration.sshd_rig import Sshd, end_shared_connection

pytestmark = pytest.mark.integration
VOLUMES = 6
MANY_VOLUMES = 24
PROGRAM = """
import json, pulumi, pulumi_docker as docker
given = json.loads(open("given.json").read())
host = docker.Provider("host", host=given["address"], ssh_opts=given["options"])
for number in range({count}):
    docker.Volume(f"v{{number}}", name=f"{{given['prefix']}}-{{number}}", opts=pulumi.ResourceOptions(provider=host))
"""


class Program:
    """A stack of a few volumes on the host behind sshd."""

    def __init__(self, directory: Path, volumes: int = VOLUMES):
        self.directory, self.prefix = directory, f"pageindex-ssh-{uuid.uuid4().hex[:8]}"
        (directory / "state").mkdir(parents=True)
        (directory / "Pulumi.yaml").write_text("name: over-ssh\nruntime: python\n")
        (directory / "__main__.py").write_text(PROGRAM.format(count=volumes))
        (directory / ".venv").symlink_to(REPOSITORY / ".venv")
        self.environment = {
            **environment(),
            "PULUMI_BACKEND_URL": f"file://{directory / 'state'}",
            "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
        }
        self.environment.pop("PULUMI_CONFIG_PASSPHRASE_FILE", None)
        self.pulumi("stack", "init", "test")

    def on(self, host: SshHost) -> None:
        given = {"address": host.address, "options": host.provider_options(), "prefix": self.prefix}
        (self.directory / "given.json").write_text(json.dumps(given))

    def end(self) -> None:
        self.pulumi("destroy", "--yes", "--skip-preview", "--run-program")
        for name in docker("volume", "ls", "--quiet", "--filter", f"name={self.prefix}").split():
            docker("volume", "rm", "--force", name, ok=False)

    def pulumi(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["pulumi", *arguments, "--non-interactive", "--color", "never"],
            cwd=self.directory, env=self.environment, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    server = Sshd(tmp_path, {"DOCKER_HOST": environment().get("DOCKER_HOST", "unix:///var/run/docker.sock")})
    # Debian's own limits, so that they hold here if they hold there.
    server.start("MaxStartups 10:30:100", "MaxSessions 10")
    yield server
    end_shared_connection(server.host())
    server.stop()


def test_the_provider_works_over_one_connection_and_not_with_another_key(sshd: Sshd, tmp_path: Path) -> None:
    program = Program(tmp_path / "program")
    program.on(sshd.host())
    subprocess.run(sshd.host().command(["true"]), check=True)  # as the host check does, before anything else
    try:
        up = program.pulumi("up", "--yes", "--skip-preview", "--parallel", "16")
        assert up.returncode == 0, up.stdout + up.stderr
        names = docker("volume", "ls", "--quiet", "--filter", f"name={program.prefix}").split()
        assert len(names) == VOLUMES
        assert sshd.logins() == 1
        preview = program.pulumi("preview", "--refresh", "--expect-no-changes", "--parallel", "16")
        assert preview.returncode == 0, preview.stdout + preview.stderr
        program.on(sshd.host(host_key=sshd.public("stranger")))
        refused = program.pulumi("preview", "--refresh", "--run-program")
        assert refused.returncode != 0
        assert "Host key verification failed" in refused.stdout + refused.stderr
        program.on(sshd.host())
    finally:
        program.end()


def test_without_a_connection_to_share_no_request_is_dropped(sshd: Sshd, tmp_path: Path) -> None:
    """As `pulumi destroy` and `refresh` meet a host: nothing of ours has opened a connection before them."""
    sshd.stop()
    sshd.start("MaxStartups 10:100:10", "MaxSessions 10")  # the tenth is dropped, not just perhaps
    program = Program(tmp_path / "program", MANY_VOLUMES)
    program.on(sshd.host())
    try:
        for arguments in (("up", "--skip-preview"), ("refresh", "--skip-preview"), ("destroy", "--skip-preview")):
            end_shared_connection(sshd.host())
            done = program.pulumi(*arguments, "--yes")
            assert done.returncode == 0, done.stdout + done.stderr
        assert "drop connection" not in sshd.log.read_text()
    finally:
        program.end()
