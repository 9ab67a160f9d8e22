"""Host and GPU checks against the lab's GPU host: over ssh, with cards as they should be and as they should not."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from lab import host as gpu_host
from lab.cards import FOREIGN_NAME, Faults
from planning.hosts.ssh import SshHost
from planning.plan import StackPlan, plan_stack
from tests.integration.pulumi_project import REPOSITORY
from tests.integration.sshd_rig import end_shared_connection
from wiring.models import cards_args, host_checks_args

pytestmark = pytest.mark.integration
IMAGE = "python:3.11-slim-bookworm"
# What the check looks at in a replica: processes named as vLLM's workers, and the lines that vLLM logs.
REPLICA = """
import ctypes, os, sys, time
name, lines = sys.argv[1], sys.argv[2].split("\\n")
ctypes.CDLL(None).prctl(15, name.encode(), 0, 0, 0)
print("\\n".join(lines), flush=True)
time.sleep(3600)
"""
LOG = """\
INFO [parallel_state.py:1906] world_size={size} rank=0 local_rank=0 distributed_init_method=tcp://127.0.0.1:41231 backend=nccl
INFO [pynccl.py:148] vLLM is using nccl==2.28.9
INFO [kv_cache_utils.py:2327] GPU KV cache size: {tokens:,} tokens, Maximum concurrency for 32,768 tokens per request: 3.61x
"""  # noqa: E501


class Remote:
    """The lab's host, as a stack file would name it."""

    def __init__(self) -> None:
        found = gpu_host.ensure("rtx5090x2", names=[IMAGE])
        self.address = {
            "address": found.address, "host_key": found.host_key, "identity_file": str(found.identity_file),
            "parallel": 4,
        }  # fmt: skip
        self.docker_host = found.docker_host
        self.prefix = f"pageindex-check-{uuid.uuid4().hex[:8]}"

    def docker(self, *arguments: str) -> str:
        command = ["docker", "--host", self.docker_host, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def starts_replica(self, cards: str, lines: str, *, worker: str = "VLLM::Worker_TP") -> str:
        name = f"{self.prefix}-vllm-0"
        gpus = ["--gpus", f'"device={cards}"'] if cards else []
        self.docker(
            "run", "--detach", "--name", name, "--label", f"pageindex-stack.stack={self.prefix}", *gpus,
            IMAGE, "python3", "-c", REPLICA, worker, lines, "--gpu-memory-utilization", "0.8",
        )  # fmt: skip
        return name

    def asks(self, question: str, facts: dict[str, Any]) -> tuple[dict[str, Any], str]:
        """The finding and what was said on standard error, as the program would run it."""
        done = subprocess.run(
            [sys.executable, "-m", "checks", question], cwd=REPOSITORY, capture_output=True, text=True, timeout=120,
            input=json.dumps({**facts, "docker_host": self.address, "prefix": self.prefix}), check=False,
        )  # fmt: skip
        return (json.loads(done.stdout) if done.returncode == 0 else {}), done.stderr


@pytest.fixture(scope="module")
def host() -> Iterator[Remote]:
    remote = Remote()
    yield remote
    end_shared_connection(SshHost.from_facts(remote.address))  # type: ignore[arg-type]


@pytest.fixture
def remote(host: Remote) -> Iterator[Remote]:
    gpu_host.set_cards("rtx5090x2")
    yield host
    gpu_host.set_cards("rtx5090x2")
    for name in host.docker("ps", "--all", "--quiet", "--filter", f"label=pageindex-stack.stack={host.prefix}").split():
        host.docker("rm", "--force", name)


def plan(stack: str) -> StackPlan:
    config = yaml.safe_load((REPOSITORY / f"Pulumi.{stack}.yaml").read_text())["config"]
    return plan_stack(stack, {key.removeprefix("pageindex-stack:"): value for key, value in config.items()}, {})


def host_facts(stack: str) -> dict[str, Any]:
    """What the stack asks of its host, weights and big images aside: the lab's have other sizes than the real ones."""
    planned = plan(stack)
    facts = host_checks_args(planned, planned.default).facts()
    return {**facts, "images": [IMAGE], "weights": None}


def gpu_facts(remote: Remote, stack: str) -> dict[str, Any]:
    planned = plan(stack)
    cards = cards_args(planned, planned.default)
    assert cards
    return cards.facts([f"{remote.prefix}-vllm-{replica.index}" for replica in cards.replicas])


# Before anything comes onto the host


def test_a_host_as_planned_passes_in_seconds(remote: Remote) -> None:
    found, said = remote.asks("host", host_facts("rtx5090"))
    assert found, said
    assert found["cards"] == ["0: NVIDIA GeForce RTX 5090", "1: NVIDIA GeForce RTX 5090"]
    assert found["warnings"] == []
    assert found["seconds"] < 10


@pytest.mark.parametrize(
    ("profile", "stack", "words"),
    [
        ("single24", "rtx5090", ["2 cards", "card 0 to be NVIDIA GeForce RTX 5090", "NVIDIA GeForce RTX 4090"]),
        ("none", "rtx5090", ["2 × NVIDIA GeForce RTX 5090", "couldn't communicate with the NVIDIA driver"]),
        ("gb10", "rtx5090", ["card 0 to be NVIDIA GeForce RTX 5090", "NVIDIA GB10"]),
    ],
)
def test_another_machine_than_planned_is_refused(remote: Remote, profile: str, stack: str, words: list[str]) -> None:
    gpu_host.set_cards(profile)
    found, said = remote.asks("host", host_facts(stack))
    assert not found
    for word in words:
        assert word in said


def test_a_driver_that_is_too_old_for_the_image_is_refused(remote: Remote) -> None:
    gpu_host.set_cards("single24-old-driver")
    facts = host_facts("single-gpu")
    facts["cards"] = {**facts["cards"], "name": "NVIDIA GeForce RTX 4090"}
    _, said = remote.asks("host", facts)
    assert "NVIDIA driver 580 or newer" in said
    assert "-cu129" in said


def test_a_taken_card_is_refused_with_who_has_it(remote: Remote) -> None:
    gpu_host.set_cards("rtx5090x2", Faults(foreign_mib={1: 20000}))
    _, said = remote.asks("host", host_facts("rtx5090"))
    assert "free on card 1: 0.8 of its memory" in said
    assert FOREIGN_NAME in said
    assert "card 0" not in said


def test_a_gb10_without_a_memory_total_passes(remote: Remote) -> None:
    gpu_host.set_cards("gb10")
    found, said = remote.asks("host", host_facts("gb10"))
    assert found, said
    assert found["cards"] == ["0: NVIDIA GB10"]


def test_a_disk_without_room_is_refused_by_numbers(remote: Remote) -> None:
    weights = {"directory": "x/y", "bytes": 10**15, "local_path": None}
    _, said = remote.asks("host", {**host_facts("rtx5090"), "weights": weights})
    assert "GiB free below /var/lib/docker" in said


# A replica that runs


def log(tokens: int, size: int = 2) -> str:
    return LOG.format(tokens=tokens, size=size)


def test_a_replica_on_its_cards_passes_with_a_table(remote: Remote) -> None:
    facts = gpu_facts(remote, "rtx5090")
    remote.starts_replica("0,1", log(facts["replicas"][0]["kv_tokens"]))
    found, said = remote.asks("gpu", facts)
    assert found, said
    assert {row["verdict"] for row in found["rows"]} == {"ok"}
    assert len(found["table"].splitlines()) == len(found["rows"]) + 1
    # And the host check counts what this stack holds as free: an `up` that changes something else must pass it.
    found, said = remote.asks("host", host_facts("rtx5090"))
    assert found, said


def test_a_replica_on_the_wrong_card_is_told_by_the_cards_own_numbers(remote: Remote) -> None:
    facts = gpu_facts(remote, "rtx5090-replicas")
    facts["replicas"] = facts["replicas"][:1]
    remote.starts_replica("1", log(facts["replicas"][0]["kv_tokens"], size=1))
    _, said = remote.asks("gpu", facts)
    assert "vllm-0: cards 0 (GPU-" in said
    assert "got:      1 (GPU-" in said


def test_a_replica_without_cards_fails(remote: Remote) -> None:
    facts = gpu_facts(remote, "rtx5090")
    remote.starts_replica("", "")
    _, said = remote.asks("gpu", facts)
    assert "executable file not found" in said
    assert "computes on all its cards" in said


def test_a_replica_that_computes_on_no_card_fails(remote: Remote) -> None:
    facts = gpu_facts(remote, "rtx5090")
    remote.starts_replica("0,1", log(facts["replicas"][0]["kv_tokens"]), worker="python3")
    _, said = remote.asks("gpu", facts)
    assert "computes on all its cards" in said
    assert "not on [0, 1]" in said


def test_heat_a_stranger_and_a_small_cache_are_all_said_at_once(remote: Remote) -> None:
    facts = gpu_facts(remote, "rtx5090")
    remote.starts_replica("0,1", log(1000))
    gpu_host.set_cards("rtx5090x2", Faults(celsius={0: 93}, foreign_mib={1: 500}))
    _, said = remote.asks("gpu", facts)
    assert "vllm-0, card 0: temperature < 85 °C" in said
    assert f"{FOREIGN_NAME} (pid " in said
    assert "KV tokens" in said
    assert "1,000 (-9" in said
