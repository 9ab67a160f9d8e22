"""Real vLLM replicas behind the real gateway, and clients that ask without a pause: models replaced, too many requests.

ROLLOUT_ROUNDS repeats the rolling switch, which the suite does once.

Takes over 60 s because each rollout waits for a vLLM that starts.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from planning.hosts.images import resolve_image
from planning.services.compile_caches import CACHES_PATH, caches_key
from planning.services.vllm import USER_ID
from quickstart.environment import environment
from rollout.steps import HOLD_S, UNKNOWN_START_S
from tests.integration.conftest import Stack, deployed
from tests.integration.faults import kill_engine
from tests.integration.load import Load
from tests.integration.pulumi_project import docker, started_at
from tests.polling import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(3600)]
OUT_S = 2.0  # after which a dead replica gets no requests
ROUNDS = int(os.environ.get("ROLLOUT_ROUNDS", "1"))
SEEDS = itertools.count(1)  # a flag that changes nothing but the replica that has it
PROGRAM = Path(__file__).with_name("replicas_program.py")
# Small, so that two start side by side on two cores.
SMALL = {
    "max_model_len": 2048, "max_num_seqs": 4, "cpu_kv_cache_gib": 1, "memory_gib": 6, "drain_timeout_s": 300,
    "max_queued_requests": 8,
}  # fmt: skip


@pytest.fixture(scope="module")
def rolling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack of this module's own; each test says which rollout it has."""
    with deployed(tmp_path_factory.mktemp("rollouts"), SMALL, PROGRAM) as stack:
        yield stack


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


def having(stack: Stack, count: int) -> list[str]:
    """Names of its replicas, after an `up` where there are more or fewer."""
    if len(replicas(stack)) != count:
        configure(stack, rollout="rolling" if count > 1 else "recreate", replicas=count)
        stack.project.up()
    return sorted(replicas(stack))


def load(stack: Stack, clients: int = 4) -> Load:
    outputs = stack.project.outputs()
    return Load(outputs["api_url"], outputs["api_key"], clients)


def told(requests: Load, what: str) -> None:
    """For docs/rollouts.md."""
    longest = max(request.took_s for request in requests.requests)
    streams = sum(request.stream for request in requests.requests)
    print(f"{what}: {len(requests.requests)} requests ({streams} streams), {len(requests.failed)} failed, "
          f"longest {longest:.1f} s")  # fmt: skip


def test_more_requests_than_vllm_queues_get_503_with_retry_after_and_the_others_their_answer(rolling: Stack) -> None:
    having(rolling, 1)
    with load(rolling, clients=40) as requests:
        until(lambda: requests.failed and len(requests.requests) > len(requests.failed), "answers of both kinds")
    told(requests, "40 clients, room for 12 requests")
    ends = {(request.status, request.fault) for request in requests.requests}
    # vLLM looks at its queue twice. Of streams that come at once some pass the first look, and with it get their 200.
    assert ends - {(200, "refused within the stream: 503")} == {(200, ""), (503, "")}
    assert all(request.retry_after_s for request in requests.failed if request.status == 503)


def test_a_switch_that_fails_goes_back_and_a_good_one_under_load_then_loses_no_request(rolling: Stack) -> None:
    [before] = having(rolling, 1)
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
    assert len(requests.requests) > 20
    [(after, status)] = replicas(rolling).items()
    assert (after != before, status) == (True, "running")
    rolling.project.pulumi("preview", "--stack", rolling.project.stack, "--expect-no-changes", "--refresh")


def test_recreate_answers_503_with_a_retry_after_that_counts_down_to_the_new_model(rolling: Stack) -> None:
    having(rolling, 1)
    known = docker("exec", f"{rolling.project.prefix}-gateway", "cat", "/var/tmp/rollout.json", ok=False)
    expected_s = json.loads(known)["start_s"] if known else UNKNOWN_START_S  # as it was measured at the last switch
    configure(rolling, rollout="recreate", **another())
    with load(rolling) as requests:
        rolling.project.up()
        done_s = time.monotonic() + HOLD_S  # a connection that was open before may be told once more to wait
        until(lambda: len(requests.since(done_s)) >= 8, "some requests after it")
    told(requests, "recreate")
    assert {(request.status, request.fault) for request in requests.requests} == {(200, ""), (503, "")}
    assert [request for request in requests.since(done_s) if request.status != 200] == []
    waits = [request.retry_after_s or 0 for request in sorted(requests.failed, key=lambda request: request.began_s)]
    assert waits[0] >= expected_s
    assert min(waits) >= 1
    assert waits[len(waits) // 2] < waits[0], "it counts down"


def test_rolling_under_load_loses_no_request_round_after_round(rolling: Stack) -> None:
    [first] = having(rolling, 1)
    assert first in having(rolling, 2), "one more replica replaces none"
    for turn in range(ROUNDS):
        before = set(replicas(rolling))
        configure(rolling, rollout="rolling", **another())
        with load(rolling) as requests:
            rolling.project.up()
        told(requests, f"rolling, round {turn + 1}")
        assert requests.failed == []
        after = replicas(rolling)
        assert list(after.values()) == ["running", "running"]
        assert not before & set(after)


def caches(name: str) -> str:
    """The volume in which a replica keeps what it compiled."""
    mounts = json.loads(docker("inspect", "--format", "{{json .Mounts}}", name))
    [volume] = [mount["Name"] for mount in mounts if mount["Destination"] == CACHES_PATH]
    return str(volume)


def kept(name: str) -> set[str]:
    """Its files, each with its owner."""
    return set(docker("exec", name, "find", CACHES_PATH, "-type", "f", "-printf", "%U %P\n").splitlines())


def test_what_a_replica_compiled_outlives_it_in_a_volume_that_it_alone_has(rolling: Stack) -> None:
    [first] = having(rolling, 1)
    files, volume = kept(first), caches(first)
    assert files
    assert {line.split()[0] for line in files} == {str(USER_ID)}
    assert docker("exec", first, "stat", "-c", "%U:%G %a", CACHES_PATH).split()[1] == "700"
    configure(rolling, rollout="recreate", **another())
    rolling.project.up()
    [second] = replicas(rolling)
    assert (second != first, caches(second)) == (True, volume)
    assert files <= kept(second)
    assert docker("ps", "--all", "--filter", f"volume={volume}", "--format", "{{.Names}}").split() == [second]


def test_a_volume_that_somebody_else_wrote_stops_no_replica_and_the_printed_command_mends_it(rolling: Stack) -> None:
    [serving] = having(rolling, 1)
    image, volume = docker("inspect", "--format", "{{.Image}}", serving), caches(serving)
    put = ["--rm", "--network", "none", "--user", "0:0", "--volume", f"{volume}:/c", "--entrypoint", "touch", image]
    docker("run", *put, "/c/planted.py")
    configure(rolling, rollout="recreate", **another())
    failed = rolling.project.up(ok=False)
    assert failed.returncode != 0
    assert f"{CACHES_PATH}/planted.py belongs to user 0" in failed.stdout
    assert replicas(rolling)[serving] == "running"
    [mend] = set(re.findall(r"docker run --rm --network none .* -c '[^']*'", failed.stdout))
    subprocess.run(["sh", "-c", mend], env=environment(), check=True)
    rolling.project.up()
    [after] = replicas(rolling)
    assert caches(after) == volume
    assert not any("planted" in line for line in kept(after))


def test_another_image_starts_with_a_volume_of_its_own_and_the_old_one_is_removed(rolling: Stack) -> None:
    [before] = having(rolling, 1)
    old, image = caches(before), resolve_image("vllm-cpu")
    renamed = "pageindex-test/vllm-openai-cpu:v0.32.0"
    docker("tag", image, renamed)
    try:
        configure(rolling, image=renamed)
        changed = {name for name in rolling.project.replaced_by_preview() if "-caches-" in name}
        assert changed == {f"llm-0-caches-{caches_key(each, '')}" for each in (image, renamed)}
        rolling.project.up()
        [after] = replicas(rolling)
        assert caches(after) != old
        assert old not in docker("volume", "ls", "--quiet").split()
    finally:
        configure(rolling, image="vllm-cpu")
        rolling.project.up()
        docker("image", "rm", renamed)


def test_a_replica_that_was_stopped_or_removed_comes_back_and_the_other_serves_meanwhile(rolling: Stack) -> None:
    stopped, other = having(rolling, 2)
    untouched = {name: started_at(name) for name in (other, f"{rolling.project.prefix}-gateway")}
    docker("stop", stopped)
    with load(rolling) as requests:
        rolling.project.up("--refresh")
    told(requests, "one of two stopped by hand")
    assert requests.failed == []
    assert replicas(rolling) == {stopped: "running", other: "running"}
    rolling.project.pulumi("preview", "--stack", rolling.project.stack, "--expect-no-changes", "--refresh")

    docker("rm", "--force", stopped)
    named = rolling.project.up(ok=False)
    assert f"container {stopped}" in named.stdout
    assert "pulumi up --refresh" in named.stdout
    with load(rolling) as requests:
        rolling.project.up("--refresh")
    told(requests, "one of two removed by hand")
    assert requests.failed == []
    after = replicas(rolling)
    assert list(after.values()) == ["running", "running"]
    assert stopped not in after
    assert {name: started_at(name) for name in untouched} == untouched


def test_a_replica_that_dies_is_out_at_once_and_back_when_it_is_healthy(rolling: Stack) -> None:
    name = having(rolling, 2)[0]
    gateway = f"{rolling.project.prefix}-gateway"
    started = docker("inspect", "--format", "{{.State.StartedAt}}", name)

    def again() -> bool:
        return docker("inspect", "--format", "{{.State.StartedAt}}", name) != started

    def healthy() -> bool:
        return docker("inspect", "--format", "{{.State.Health.Status}}", name) == "healthy"

    def reached() -> bool:
        address = docker("inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", name)
        lines = docker("logs", "--since", "2s", gateway).splitlines()
        return any(f'"upstream":"{address}:8000","upstream_status":"200"' in line for line in lines)

    with load(rolling) as requests:
        kill_engine(name)
        until(again, "it has ended and starts again")
        dead_s = time.monotonic()
        until(healthy, "it is healthy again")
        healthy_s = time.monotonic()
        until(reached, "requests reach it again")
        print(f"requests were seen to reach it {time.monotonic() - healthy_s:.1f} s after it was healthy")
    told(requests, "one of two killed")
    assert [request for request in requests.failed if not request.stream] == [], "without a byte they move on"
    assert [request for request in requests.since(dead_s + OUT_S) if request.status != 200 or request.fault] == []
