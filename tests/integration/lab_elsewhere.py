"""Scenarios that end, break or remove a lab: python3 lab_elsewhere.py SCENARIO STATE RUN, under `unshare --net`.

It is a second lab in a network namespace of its own, with its own data, socket, bridges and firewall rules. Only the
root file system and one image come from the first.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import pytest

from lab import engine, engine_root, host, images, paths, processes, registry
from machine.console import StepFailed
from tests.polling import until

NGINX = "nginx:1.30.6"
FIRST_LAB, FIRST_ROOT = paths.ENGINE_HOST, engine_root.root()


def move_to(state: Path, run: Path) -> None:
    """Let this process's lab be another one."""
    state.mkdir()
    (state / engine_root.root().name).symlink_to(engine_root.root())
    paths.STATE, paths.RUN, paths.ENGINE_SOCKET = state, run, run / "docker.sock"
    paths.ENGINE_HOST = f"unix://{run}/docker.sock"
    engine.PID_FILE, registry.PID_FILE = run / "engine.pid", run / "registry.pid"
    engine.DEFAULT_SOCKET, engine_root.HOST_CLI = str(run / "none.sock"), run / "docker"
    shell(f"chroot {FIRST_ROOT} ip link set lo up")


def shell(command: str) -> str:
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)  # noqa: S602 (our own words)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


def docker(arguments: str) -> str:
    return shell(f"docker --host {paths.ENGINE_HOST} {arguments}").strip()


def processes_with(text: str) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if text.encode() in words and int(process.name) != os.getpid():
            found.append(f"{process.name} {words!r}")
    return found


def bring_nginx() -> None:
    shell(f"docker --host {FIRST_LAB} save {NGINX} | docker --host {paths.ENGINE_HOST} load")


def a_pull_goes_through_the_registry() -> None:
    host = engine.ensure()
    bring_nginx()
    registry.ensure()
    images._send_through_registry(NGINX, host, quiet())
    docker(f"image rm {NGINX}")
    seen_bytes = registry.log_file().stat().st_size
    images.ensure([NGINX], host)
    asked = registry.log_file().read_text()[seen_bytes:]
    assert "/v2/library/nginx/manifests/1.30.6" in asked, "the registry was asked"
    assert "/v2/library/nginx/blobs/" in asked, "and gave the layers"
    assert docker(f"image inspect {NGINX} --format '{{{{.RepoTags}}}}'") == f"[{NGINX}]"


def quiet() -> Any:
    from machine.console import Step

    return Step("send through the registry")


def a_killed_engine_leaves_nothing_behind_and_starts_again() -> None:
    engine.ensure()
    bring_nginx()
    marker = str(uuid.uuid4().int % 10**9 + 10**9)
    for policy in ("no", "always"):
        docker(f"run --detach --stop-timeout=1 --restart={policy} {NGINX} sleep {marker}")
    # docker run returns when the container's process exists, a moment before that process has become sleep.
    until(lambda: len(processes_with(f"sleep\0{marker}")) == 2, "both containers run sleep", 10)
    os.kill(int(engine.PID_FILE.read_text()), signal.SIGKILL)
    until(lambda: not processes_with(marker), "its containers are gone", 60)
    until(lambda: not processes_with(str(paths.RUN) + "/docker.sock"), "dockerd is gone", 60)
    assert str(paths.STATE) not in Path("/proc/mounts").read_text()

    started_at = time.monotonic()
    engine.ensure()
    print(f"restarted in {time.monotonic() - started_at:.1f} s", file=sys.stderr)
    until(lambda: len(processes_with(f"sleep\0{marker}")) == 1, "the one that is always to run, runs", 90)
    engine.down()
    assert not processes_with(marker)
    assert engine.version(paths.ENGINE_HOST) is None
    assert engine.status() == "down"


def a_daemon_that_does_not_answer_is_replaced() -> None:
    engine.ensure()
    first = int(engine.PID_FILE.read_text())
    paths.ENGINE_SOCKET.unlink()
    engine.ensure()
    assert not processes.lives(first)
    assert engine.version(paths.ENGINE_HOST)
    engine.down()


def a_machine_without_a_docker_command_gets_one_and_loses_it_again() -> None:
    real = os.environ["PATH"]
    without = [part for part in real.split(os.pathsep) if not Path(part, "docker").exists()]
    os.environ["PATH"] = os.pathsep.join([*without, str(paths.RUN)])
    engine.ensure()
    assert engine_root.HOST_CLI.exists()
    assert shell(f"{engine_root.HOST_CLI} --host {paths.ENGINE_HOST} ps --quiet") == ""
    bring_nginx()
    engine.clean()
    assert not engine_root.HOST_CLI.exists()


def an_engine_that_cannot_start_says_why() -> None:
    real = engine.daemon_options
    engine.daemon_options = lambda: [*real(), "--storage-driver=no-such-driver"]  # type: ignore[assignment]
    with pytest.raises(StepFailed, match="the lab's Docker engine ended at once; its whole log is ") as failure:
        engine.ensure()
    assert any("no-such-driver" in line for line in failure.value.log_tail), failure.value.log_tail
    assert failure.value.mend
    assert not processes_with(str(paths.RUN) + "/docker.sock")


def a_gpu_host_ends_completely_and_comes_back_as_it_was() -> None:
    before = network_state()
    there = host.ensure("rtx5090x2", names=[])
    there.path("/srv/note").write_text("kept")
    docker_there = f"docker --host {there.docker_host}"
    shell(f"docker --host {FIRST_LAB} save {NGINX} | {docker_there} load")
    marker = str(uuid.uuid4().int % 10**9 + 10**9)
    shell(f"{docker_there} run --detach --gpus all {NGINX} sleep {marker}")
    os.kill(there.pid, signal.SIGKILL)
    until(lambda: not processes_with(marker), "its containers are gone", 10)
    until(lambda: not processes_with(str(paths.RUN / "gpu-host")), "sshd, dockerd and all else are gone", 10)
    assert str(paths.STATE) not in Path("/proc/mounts").read_text()
    assert not host.runs()

    again = host.ensure("single24", names=[])
    assert again.host_key == there.host_key, "a machine that restarts keeps its host key"
    assert again.path("/srv/note").read_text() == "kept"
    assert shell(" ".join(again.ssh("nvidia-smi", "-L"))).startswith("GPU 0: NVIDIA GeForce RTX 4090")
    host.clean()
    assert network_state() == before, "no link and no firewall rule is left"
    assert not host.state().exists()
    assert not paths.gpu_host_run().exists()


def network_state() -> str:
    """Interfaces and IPv4 rules, asked with the engine's own tools, which the first lab keeps."""
    tools = f"chroot {FIRST_ROOT}"
    interfaces = shell(f"{tools} ip -o link | cut -d: -f2")
    return interfaces + shell(f"{tools} iptables -S") + shell(f"{tools} iptables -t nat -S")


def clean_leaves_no_bridge_no_firewall_rule_and_no_file() -> None:
    before = network_state()
    engine.ensure()
    docker("network create one")
    registry.ensure()
    between = network_state()
    assert all(word in between for word in ("docker0", "br-", "-N DOCKER\n", "MASQUERADE")), between
    registry.clean()
    engine.clean()
    after = network_state()
    # dockerd's own FORWARD policy stays, and should: it has switched forwarding on.
    assert before == after.replace("-P FORWARD DROP", "-P FORWARD ACCEPT"), after
    for directory in (paths.STATE, paths.RUN, paths.cache()):
        assert not directory.exists(), directory
    assert not processes_with(str(paths.RUN))


if __name__ == "__main__":
    scenario, state_directory, run_directory = sys.argv[1:]
    move_to(Path(state_directory), Path(run_directory))
    try:
        globals()[scenario]()
    finally:
        host.down()
        registry.down()
        engine.down()
