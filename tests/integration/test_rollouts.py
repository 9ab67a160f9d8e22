"""Models replaced while clients ask without a pause: real vLLM replicas behind the real gateway.

ROLLOUT_ROUNDS repeats the rolling switch, which the suite does once.
"""

from __future__ import annotations

import itertools
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import Stack, dev_config, remove_leftovers
from tests.integration.load import Load
from tests.integration.pulumi_project import Project, docker, free_port

pytestmark = [pytest.mark.integration, pytest.mark.timeout(3600)]
ROUNDS = int(os.environ.get("ROLLOUT_ROUNDS", "1"))
SEEDS = itertools.count(1)  # a flag that changes nothing but the replica that has it
PROGRAM = Path(__file__).with_name("replicas_program.py")
# Small, so that two start side by side on two cores.
SMALL = {"max_model_len": 2048, "max_num_seqs": 4, "cpu_kv_cache_gib": 1, "memory_gib": 6, "drain_timeout_s": 300}


@pytest.fixture(scope="module")
def rolling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack of this module's own; each test says which rollout it has."""
    project = Project(tmp_path_factory.mktemp("rollouts"), f"test-{uuid.uuid4().hex[:6]}")
    (project.directory / "__main__.py").unlink()
    (project.directory / "__main__.py").symlink_to(PROGRAM)
    settings = dev_config(free_port(), free_port())
    settings["vllm"] = {**settings["vllm"], **SMALL}
    project.write_stack_file(settings)
    project.pulumi("stack", "init", project.stack)
    try:
        project.up()
        yield Stack(project, settings)
    finally:
        project.pulumi("destroy", "--stack", project.stack, "--yes", "--skip-preview", ok=False)
        remove_leftovers(project.prefix)


def configure(stack: Stack, **vllm: Any) -> None:
    """Write the stack file with these settings of vLLM; a new seed is a new replica."""
    stack.settings = {**stack.settings, "vllm": {**stack.settings["vllm"], **vllm}}
    stack.project.write_stack_file(stack.settings)


def another() -> dict[str, Any]:
    return {"extra_flags": {"seed": next(SEEDS)}}


def replicas(stack: Stack) -> dict[str, str]:
    """Name and status of every container of a replica, running or not."""
    labels = (f"pageindex-stack.stack={stack.project.prefix}", "pageindex-stack.component=vllm")
    filters = [part for label in labels for part in ("--filter", f"label={label}")]
    lines = docker(
        "ps", "--all", "--filter", "label=pageindex-stack.replica", *filters, "--format", "{{.Names}} {{.State}}"
    )
    return dict(line.split() for line in lines.splitlines())


def load(stack: Stack, clients: int = 4) -> Load:
    outputs = stack.project.outputs()
    return Load(outputs["api_url"], outputs["api_key"], clients)


def told(requests: Load, what: str) -> None:
    """For docs/rollouts.md."""
    longest = max(request.took_s for request in requests.requests)
    streams = sum(request.stream for request in requests.requests)
    print(f"{what}: {len(requests.requests)} requests ({streams} streams), {len(requests.failed)} failed, "
          f"longest {longest:.1f} s")  # fmt: skip


def test_blue_green_under_load_loses_no_request_and_cuts_no_stream(rolling: Stack) -> None:
    [before] = replicas(rolling)
    configure(rolling, rollout="blue-green", **another())
    with load(rolling) as requests:
        rolling.project.up()
    told(requests, "blue-green")
    assert requests.failed == []
    assert len(requests.requests) > 20
    [after] = replicas(rolling)
    assert after != before


def test_a_switch_that_fails_goes_back_to_the_old_model_and_says_both(rolling: Stack) -> None:
    [before] = replicas(rolling)
    good = rolling.settings
    configure(rolling, rollout="recreate", extra_flags={"no-such-flag": 1})
    failed = rolling.project.up(ok=False)
    assert failed.returncode != 0
    assert "no-such-flag" in failed.stdout, "why"
    assert f"serves again, in {before}" in failed.stdout.replace("\n", " ")
    assert replicas(rolling)[before] == "running"
    assert sorted(replicas(rolling).values()) == ["exited", "running"]
    body = {"model": "default", "prompt": "1, 2,", "max_tokens": 1}
    assert rolling.client("api_url").post("/v1/completions", json=body).status_code == 200

    rolling.settings = good
    configure(rolling, rollout="blue-green", **another())
    with load(rolling) as requests:
        rolling.project.up()
    told(requests, "blue-green after a failure")
    assert requests.failed == []
    [after] = replicas(rolling).items()
    assert after == (next(iter(replicas(rolling))), "running")
    rolling.project.pulumi("preview", "--stack", rolling.project.stack, "--expect-no-changes", "--refresh")


def test_rolling_under_load_loses_no_request_round_after_round(rolling: Stack) -> None:
    [first] = replicas(rolling)
    configure(rolling, rollout="rolling", replicas=2)
    rolling.project.up()
    assert first in replicas(rolling), "one more replica replaces none"
    for turn in range(ROUNDS):
        before = set(replicas(rolling))
        configure(rolling, **another())
        with load(rolling) as requests:
            rolling.project.up()
        told(requests, f"rolling, round {turn + 1}")
        assert requests.failed == []
        after = replicas(rolling)
        assert list(after.values()) == ["running", "running"]
        assert not before & set(after)
