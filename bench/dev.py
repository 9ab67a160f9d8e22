"""`make bench-dev`: no-op runs, times to ready and the gateway's latency on the dev stack, as a table in docs/."""

from __future__ import annotations

import json
import math
import os
import platform
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from host_access.docker_host import DockerHost
from machine.console import StepFailed, main_guard, step
from machine.paths import REPOSITORY
from planning.gateway.replicas import STATE_DIR, memory_file
from planning.hosts.images import resolve_image
from planning.hosts.names import STACK_LABEL, gateway_container, internal_network, prefix_of
from planning.services.compile_caches import CACHES_PATH
from quickstart.environment import environment
from quickstart.pulumi import outputs
from rollout.caches import own_caches

STACK = "dev"
PREFIX = prefix_of(STACK)
PAGE = REPOSITORY / "docs" / "bench-dev.md"
NO_OP_ROUNDS = 3
START_ROUNDS = 2
GOAL_READY_FACTOR, GOAL_READY_PLUS_S = 1.05, 3.0
GOAL_ADDED_MS = 0.2
GOAL_ADDED_SHARE = 0.01  # of a real completion


def command(*arguments: str, stdin: str | None = None) -> str:
    """Run a command in the stack's environment; StepFailed with its last lines if it fails."""
    done = subprocess.run(
        arguments, cwd=REPOSITORY, env=environment(), input=stdin, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        tail = (done.stdout + done.stderr).splitlines()[-15:]
        raise StepFailed(f"`{shlex.join(arguments[:4])}` failed", "make up", tail)
    return done.stdout.strip()


def seconds(work: Callable[[], Any]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started


def no_op() -> list[tuple[str, str, str]]:
    """Runs that change nothing, interleaved."""
    runs = {
        "`pulumi up --skip-preview`": ("pulumi", "up", "-s", STACK, "--yes", "--skip-preview"),
        "`pulumi preview`": ("pulumi", "preview", "-s", STACK),
        "`pulumi up --skip-preview --refresh`": ("pulumi", "up", "-s", STACK, "--yes", "--skip-preview", "--refresh"),
        "`make up` (refreshes, and asks its question)": ("make", "up"),
    }
    took: dict[str, list[float]] = {name: [] for name in runs}
    with step("No-op runs") as current:
        for number in range(NO_OP_ROUNDS):
            for name, arguments in runs.items():
                current.progress(number, NO_OP_ROUNDS, name.strip("`"))
                took[name].append(seconds(partial(command, *arguments)))
    return [(name, spread(values, "s"), "") for name, values in took.items()]


def time_to_ready() -> list[tuple[str, str, str]]:
    """From the container's start to its first token: by `docker run`, and as the gate of `pulumi up` measured it."""
    by_hand, by_up = [], []
    with step("Time to ready") as current:
        for number in range(START_ROUNDS):
            current.progress(2 * number, 2 * START_ROUNDS, "starts")
            vllm = replica()
            by_hand.append(start_by_hand(vllm))
            current.progress(2 * number + 1, 2 * START_ROUNDS, "starts")
            command("pulumi", "up", "-s", STACK, "--yes", "--skip-preview", "--replace", urn_of_container(vllm))
            by_up.append(last_start_s())
    hand, ours = statistics.median(by_hand), statistics.median(by_up)
    goal = GOAL_READY_FACTOR * hand + GOAL_READY_PLUS_S
    verdict = f"{ours / hand:.2f} × by hand; goal ≤ 1.05 × + 3 s = {goal:.1f} s: {'met' if ours <= goal else 'missed'}"
    return [
        ("`docker run` to first token, by hand", spread(by_hand, "s"), ""),
        ("the same in `pulumi up --replace`", spread(by_up, "s"), verdict),
    ]


def urn_of_container(name: str) -> str:
    """Pulumi's name of a container."""
    exported = json.loads(command("pulumi", "stack", "export", "-s", STACK))
    resources = exported["deployment"]["resources"]
    containers = [each for each in resources if each["type"] == "docker:index/container:Container"]
    [urn] = [each["urn"] for each in containers if each["outputs"].get("name") == name]
    return str(urn)


def last_start_s() -> float:
    """What the last rollout measured: from the replica's start until it had answered a question."""
    kept = command("docker", "exec", gateway_container(PREFIX), "cat", f"{STATE_DIR}/{memory_file()}")
    return float(json.loads(kept)["start_s"])


def replica() -> str:
    """Name of the container that serves; another one after each replacement."""
    labels = (f"stack={PREFIX}", "component=vllm", "replica=0")
    filters = [part for label in labels for part in ("--filter", f"label=pageindex-stack.{label}")]
    return command("docker", "ps", *filters, "--format", "{{.Names}}").strip()


def kept_code() -> list[tuple[str, str, str]]:
    """Starts with an empty volume for what is compiled, and with what such a start left in it."""
    rows = []
    vllm = replica()
    details = json.loads(command("docker", "inspect", vllm))[0]
    ways: dict[str, tuple[str, ...]] = {"as the stack has it": ()}
    if "--enforce-eager" in details["Config"]["Cmd"] and has_compiler(details["Image"]):
        ways["compiled"] = ("--enforce-eager",)
    volume = f"{PREFIX}-bench-caches"
    with step("First start and second start") as current:
        for number, (way, without) in enumerate(ways.items()):
            first, second = [], []
            for turn in range(START_ROUNDS):
                current.progress(number * START_ROUNDS + turn, len(ways) * START_ROUNDS, "rounds")
                command("docker", "volume", "create", "--label", f"{STACK_LABEL}={PREFIX}", volume)
                try:
                    mounts = [{"Name": volume, "Destination": CACHES_PATH}]
                    own_caches(DockerHost(), {**details, "Mounts": mounts})
                    first.append(start_by_hand(vllm, caches=volume, without=without))
                    second.append(start_by_hand(vllm, caches=volume, without=without))
                finally:
                    command("docker", "volume", "rm", "--force", volume)
            ratio = statistics.median(second) / statistics.median(first)
            rows.append((f"first start, {way}: nothing is kept yet", spread(first, "s"), ""))
            rows.append((f"second start, {way}", spread(second, "s"), f"{ratio:.2f} × the first"))
    command("docker", "start", vllm)
    return rows


def has_compiler(image: str) -> bool:
    """Whether Inductor finds what it compiles C++ with: the lab's image has none, vLLM's has one."""
    look = ["docker", "run", "--rm", "--network", "none", "--entrypoint", "sh", image, "-c", "command -v g++"]
    return subprocess.run(look, env=environment(), capture_output=True, check=False).returncode == 0


def start_by_hand(vllm: str, *, caches: str = "", without: Sequence[str] = ()) -> float:
    """Stop this replica and run a copy of it; seconds from `docker run` until its first token.

    ``caches`` is another volume for what is compiled, and ``without`` are flags that the copy does not get.
    """
    details = json.loads(command("docker", "inspect", vllm))[0]
    config, host = details["Config"], details["HostConfig"]
    copy = [
        "docker", "run", "--detach", "--name", f"{vllm}-by-hand", "--network", internal_network(PREFIX),
        "--user", config["User"], "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges:true",
        "--shm-size", str(host["ShmSize"]), "--memory", str(host["Memory"]), "--memory-swap", str(host["MemorySwap"]),
    ]  # fmt: skip
    for mount in details["Mounts"]:
        if mount["Type"] != "tmpfs":
            source = mount.get("Name") or mount["Source"]
            source = caches if caches and mount["Destination"] == CACHES_PATH else source
            copy += ["--volume", f"{source}:{mount['Destination']}:{'rw' if mount['RW'] else 'ro'}"]
    copy += [part for target, options in host["Tmpfs"].items() for part in ("--tmpfs", f"{target}:{options}")]
    copy += [part for variable in config["Env"] for part in ("--env", variable)]
    command("docker", "stop", vllm)
    try:
        started = time.monotonic()
        command(*copy, config["Image"], *(word for word in config["Cmd"] if word not in without))
        probe = ["docker", "exec", f"{vllm}-by-hand", "sh", "/run/pageindex-stack/probe.sh"]
        deadline = time.monotonic() + 600
        while subprocess.run(probe, env=environment(), capture_output=True, check=False).returncode != 0:
            if time.monotonic() > deadline:
                raise StepFailed("the copy of vLLM made by hand did not become ready", f"docker logs {vllm}-by-hand")
            time.sleep(0.2)
        return time.monotonic() - started
    finally:
        subprocess.run(["docker", "rm", "-f", f"{vllm}-by-hand"], env=environment(), capture_output=True, check=False)


def gateway_latency() -> list[tuple[str, str, str]]:
    """Requests to vLLM and through the gateway, alternating, from a container beside them."""
    vllm = replica()
    vllm_key = json.loads(command("docker", "exec", vllm, "cat", "/run/pageindex-stack/vllm.yaml"))["api-key"]
    facts = {
        "direct": f"{vllm}:8000",
        "gateway": f"{gateway_container(PREFIX)}:8080",
        "vllm_key": vllm_key,
        "client_key": outputs(STACK)["api_key"],
    }
    probe = (Path(__file__).with_name("latency_probe.py")).read_text(encoding="utf-8")
    with step("Gateway latency"):
        printed = command(
            "docker", "run", "--rm", "--interactive", "--network", internal_network(PREFIX), "--user", "65534:65534",
            resolve_image("python"), "python3", "-c", probe, stdin=json.dumps(facts),
        )  # fmt: skip
    rows = []
    for what, found in json.loads(printed).items():
        direct, gateway = found["direct"], found["gateway"]
        pairs = list(zip(direct["each_ms"], gateway["each_ms"], strict=True))
        low, added, high = median_and_bounds([through - alone for alone, through in pairs])
        verdict = f"p50 {added:+.3f} ms ({low:+.3f} to {high:+.3f}, {len(pairs)} pairs)"
        if what == "list of models":
            verdict += f"; goal ≤ +{GOAL_ADDED_MS} ms: {'met' if added <= GOAL_ADDED_MS else 'missed'}"
        if what == "one token":
            share, most = added / direct["p50_ms"], high / direct["p50_ms"]
            missed = low / direct["p50_ms"] > GOAL_ADDED_SHARE
            judged = "met" if most <= GOAL_ADDED_SHARE else "missed" if missed else "not shown"
            verdict += f", that is {share:+.2%} (at most {most:+.2%}); goal ≤ {GOAL_ADDED_SHARE:.0%}: {judged}"
        if "stream" in what:
            ratio = gateway["gap_p50_ms"] / direct["gap_p50_ms"]
            verdict += (
                f"; between tokens {ratio:.3f} ×; pieces {gateway['pieces']:.0f} against {direct['pieces']:.0f}: "
                f"{'not buffered' if gateway['pieces'] >= 0.9 * direct['pieces'] else 'buffered'}"
            )
        rows.append((f"{what}, direct", f"p50 {direct['p50_ms']:.2f} ms, p99 {direct['p99_ms']:.2f} ms", ""))
        rows.append((f"{what}, gateway", f"p50 {gateway['p50_ms']:.2f} ms, p99 {gateway['p99_ms']:.2f} ms", verdict))
    return rows


def median_and_bounds(values: list[float]) -> tuple[float, float, float]:
    """The median, between the bounds that hold it in 95 of 100 such samples, whatever the distribution."""
    ordered, half = sorted(values), 0.98 * math.sqrt(len(values))
    low, high = math.floor(len(values) / 2 - half), math.ceil(len(values) / 2 + half)
    return ordered[max(low, 0)], statistics.median(ordered), ordered[min(high, len(values) - 1)]


def spread(values: list[float], unit: str) -> str:
    return f"{statistics.median(values):.1f} {unit} ({min(values):.1f} to {max(values):.1f}, {len(values)} runs)"


def write(rows: list[tuple[str, str, str]]) -> str:
    """The page, complete with what it was measured on."""
    load = os.getloadavg()[0]
    lines = [
        "# Measured: the dev stack",
        "",
        f"Written by `make bench-dev` on {datetime.now(UTC):%Y-%m-%d}; {os.cpu_count()} cores, "
        f"{platform.system()} {platform.release().split('-')[0]}, load average at the end {load:.1f}.",
        "Each comparison was measured in interleaved rounds of one run; compare ratios, not machines.",
        "",
        "| what | median | against its peer |",
        "| --- | --- | --- |",
        *(f"| {what} | {value} | {verdict} |" for what, value, verdict in rows),
        "",
    ]
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text("\n".join(lines), encoding="utf-8")
    return "\n".join(lines)


def main() -> int:
    outputs(STACK)
    print(write([*no_op(), *gateway_latency(), *time_to_ready(), *kept_code()]))
    return 0


if __name__ == "__main__":
    sys.exit(main_guard(main))
