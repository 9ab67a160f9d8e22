"""Every hardware target: previewed as a pull request does it, and brought up on the simulated GPU host over ssh.

Takes over 60 s because each target comes up whole, over ssh, with a vLLM of its own.
"""

from __future__ import annotations

import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from checks.answers import EXPECTED_WORD, QUESTION, nonsense
from lab import engine, paths, small_model
from lab import host as gpu_host
from lab.host import Host
from operate.models import models
from operate.stack_client import client_of
from planning.hosts.ssh import SshHost, host_facts
from planning.settings.areas import HostSettings
from planning.stack_files import host_in
from tests.integration.pulumi_project import REPOSITORY, Project, free_port
from tests.integration.sshd_rig import end_shared_connection

pytestmark = pytest.mark.integration
TARGETS = sorted({path.name.split(".")[1] for path in REPOSITORY.glob("Pulumi.*.yaml")} - {"dev"})
# A well-formed public key; nothing is ever reached with it.
KEY_OF_NOBODY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE3Jm0kPzGc0Q0Xl2sT7b5u1dYd0q5mW0m7cQwq3H8aZ"
# The cards of each target's machine, in an order that changes them seldom.
PROFILES = {
    "single-gpu": "single24",
    "ocr": "single24",
    "rtx5090": "rtx5090x2",
    "rtx5090-replicas": "rtx5090x2",
    "duo": "rtx5090x2",
    "gb10": "gb10",
}
UP_S = 1800.0  # a minute and a half on two idle cores, which these seldom are
# One white pixel.
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8/x8AAwMCAO+ip1sAAAAASUVORK5CYII="


def settings_of(stack: str) -> dict[str, Any]:
    config = yaml.safe_load((REPOSITORY / f"Pulumi.{stack}.yaml").read_text())["config"]
    return {key.removeprefix("pageindex-stack:"): value for key, value in config.items()}


@pytest.mark.parametrize("stack", TARGETS)
def test_a_preview_needs_neither_the_host_nor_a_daemon(stack: str, tmp_path: Path) -> None:
    settings = settings_of(stack)
    nowhere = {"docker": "ssh://gpu@127.0.0.1:9", "host_key": KEY_OF_NOBODY}  # nothing listens there
    project = Project(tmp_path, f"p-{stack}")
    project.environment["DOCKER_HOST"] = "unix:///nowhere/docker.sock"
    project.write_stack_file({**settings, "host": {**settings["host"], **nowhere}})
    project.pulumi("stack", "init", project.stack)
    told = project.pulumi("preview", "--stack", project.stack, timeout_s=60).stdout
    assert "to create" in told


class Target:
    """One target's stack on the lab's host, reached as any user would: over ssh, with a pinned key."""

    def __init__(self, stack: str, directory: Path):
        self.stack = stack
        self.there: Host = gpu_host.ensure(PROFILES[stack])
        self.project = Project(directory, f"{stack}-{uuid.uuid4().hex[:6]}")  # apart from another run's
        # Only the host is to be used: whatever falls back on the daemon of the environment fails.
        self.project.environment["DOCKER_HOST"] = "unix:///nowhere/docker.sock"
        settings = settings_of(stack)
        settings["host"] = {
            **settings["host"], "docker": self.there.address, "host_key": self.there.host_key,
            "identity_file": str(self.there.identity_file),
        }  # fmt: skip
        settings["gateway"] = {**settings.get("gateway", {}), "api_port": free_port(), "app_port": free_port()}
        # The small model that stands in for all of them reads, but calls no tools: it cannot be an agent.
        settings["pageindex"] = {**settings.get("pageindex", {}), "answer": "two-step"}
        self.settings = settings
        self.ssh = SshHost.from_facts(host_facts(HostSettings(**settings["host"])))
        local_path = settings.get("model_cache", {}).get("local_path")
        self.local_weights = self.there.path(local_path) if local_path else None

    def docker(self, *arguments: str, ok: bool = True) -> list[str]:
        """Lines that docker prints on the host."""
        command = ["docker", "--host", self.there.docker_host, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert not ok or done.returncode == 0, done.stderr
        return done.stdout.split()

    def up(self) -> None:
        if self.local_weights:
            shutil.copytree(small_model.ensure(), self.local_weights, dirs_exist_ok=True)
        self.project.write_stack_file(self.settings)
        self.project.pulumi("stack", "init", self.project.stack)
        self.project.pulumi("up", "--stack", self.project.stack, "--yes", "--skip-preview", timeout_s=UP_S)

    def left(self, kind: str) -> list[str]:
        """Names of what carries the stack's label on the host."""
        every = ["--all"] if kind == "container" else []
        label = f"label=pageindex-stack.stack={self.project.prefix}"
        form = "{{.Names}}" if kind == "container" else "{{.Name}}"
        return self.docker(kind, "ls", *every, "--filter", label, "--format", form)

    def destroy(self) -> None:
        self.project.pulumi("destroy", "--stack", self.project.stack, "--yes", "--skip-preview")

    def end(self) -> None:
        """Leave nothing, whatever happened before."""
        self.project.pulumi("destroy", "--stack", self.project.stack, "--yes", "--skip-preview", ok=False)
        for kind in ("container", "network", "volume"):
            for name in self.left(kind):
                self.docker(kind, "rm", "--force", name, ok=False)
        if self.local_weights:
            shutil.rmtree(self.local_weights, ignore_errors=True)
        if self.ssh:
            end_shared_connection(self.ssh)


@pytest.fixture(scope="module", params=PROFILES)
def target(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """The stack, up; its tests come one after the other, the last one takes it down."""
    if engine.ensure() != paths.ENGINE_HOST:
        pytest.skip("another engine is in use here, not the lab's")
    one = Target(request.param, tmp_path_factory.mktemp(request.param))
    try:
        one.up()
        yield one
    finally:
        one.end()


def test_it_comes_up_and_all_its_checks_pass(target: Target) -> None:
    found = target.project.outputs()["checks"]
    assert {name for name, result in found.items() if result["ok"]} == set(found)
    names = target.settings.get("models") or {"": None}
    of_each = {f"{check}-{name}".rstrip("-") for check in ("host", "gpu") for name in names}
    assert set(found) == {*of_each, "isolation", "inference", "documents"}
    for check in of_each:
        assert not [row for row in found[check].get("rows", ()) if row["verdict"] == "FAULT"]


def test_afterwards_there_is_nothing_to_change(target: Target) -> None:
    for refresh in ("--refresh=false", "--refresh"):
        target.project.pulumi("preview", "--stack", target.project.stack, "--expect-no-changes", "--diff", refresh)


def test_it_answers_through_a_tunnel_and_only_with_a_key(target: Target) -> None:
    content: list[dict[str, Any]] = [{"type": "text", "text": QUESTION}]
    if target.stack == "ocr":  # its API takes pages as images
        content.append({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}})
    body = {"model": "default", "messages": [{"role": "user", "content": content}], "max_tokens": 32, "temperature": 0}
    with client_of(target.project.outputs(), host_in(target.project.stack_file), "api_url", 120) as client:
        answer = client.post("/v1/chat/completions", json=body)
        refused = client.post("/v1/chat/completions", json=body, headers={"Authorization": ""})
    assert answer.status_code == 200, answer.text
    assert refused.status_code == 401
    text = answer.json()["choices"][0]["message"]["content"]
    assert not nonsense(text)
    assert target.stack == "ocr" or EXPECTED_WORD in text.lower()  # the stand-in doesn't know what to make of images


def test_its_weights_are_listed_as_in_use(target: Target, capsys: pytest.CaptureFixture[str]) -> None:
    listed = models(target.project.stack_file)
    if target.local_weights:
        assert "a directory of its host" in capsys.readouterr().out
    else:
        assert [copy.used_by for copy in listed] == ["vLLM"] * len(target.settings.get("models") or [""])


def test_destroy_leaves_only_the_weights(target: Target) -> None:
    target.destroy()
    weights = [] if target.local_weights else [f"{target.project.prefix}-models"]
    assert {kind: target.left(kind) for kind in ("container", "network", "volume")} == {
        "container": [],
        "network": [],
        "volume": weights,
    }
    assert not target.local_weights or (target.local_weights / "config.json").exists()
