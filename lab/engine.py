"""The lab's Docker engine: Engine 28.3.3 or later, in a Debian root of its own, for machines without a usable daemon.

Debian 12's own engine is 20.10, which has neither isolated gateway mode nor the fixes that our isolation claim needs.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lab import engine_root, paths, processes
from lab.engine_root import SUITE, alone, cli_is_ours, ensure_root, make_root, offer_cli, root
from lab.engine_traces import remove_interfaces_and_rules
from machine import debian
from machine.console import Step, StepFailed, step

FLOOR = (28, 3, 3)
START_BUDGET_S = 60.0
STOP_BUDGET_S = 60.0  # containers get their own stop timeouts, 10 s by default, before they are killed
PROBE_TIMEOUT_S = 3.0
DEFAULT_SOCKET = "/var/run/docker.sock"
SCRIPT = Path(__file__).with_name("dockerd.sh")
PID_FILE = paths.RUN / "engine.pid"


def ensure() -> str:
    """The DOCKER_HOST to use: a daemon that answers already, else the lab's own, made and started as far as needed.

    Afterwards there is a `docker` command too.
    """
    found = _ensure_daemon()
    if shutil.which("docker") is None:
        with step("The docker command") as current:
            ensure_root(current)
            offer_cli()
            current.result(f"the lab's, at {engine_root.HOST_CLI}")
    return found


def _ensure_daemon() -> str:
    chosen = os.environ.get("DOCKER_HOST", "")
    if chosen not in ("", paths.ENGINE_HOST):
        if version(chosen) is None:
            raise StepFailed(
                f"DOCKER_HOST is {chosen}, and no Docker daemon answers there",
                "start that daemon, or `unset DOCKER_HOST` to use this machine's or the lab's",
            )
        return chosen
    if chosen == "" and version(f"unix://{DEFAULT_SOCKET}") is not None:
        return f"unix://{DEFAULT_SOCKET}"
    if version(paths.ENGINE_HOST) is None:
        with step("Docker engine (lab)") as current:
            _make_and_start(current)
    return paths.ENGINE_HOST


def docker_host_in_use() -> str | None:
    """What a shell should export: the lab's engine when it runs and nothing else was chosen. Starts nothing."""
    if os.environ.get("DOCKER_HOST", "") not in ("", paths.ENGINE_HOST):
        return None
    if not os.environ.get("DOCKER_HOST") and version(f"unix://{DEFAULT_SOCKET}") is not None:
        return None
    return paths.ENGINE_HOST if version(paths.ENGINE_HOST) is not None else None


def version(docker_host: str) -> str | None:
    """The version of the daemon that answers at ``docker_host``, or None."""
    if docker_host.startswith("unix://"):
        answer = _get(docker_host.removeprefix("unix://"), "/version")
        return str(answer["Version"]) if isinstance(answer, dict) and "Version" in answer else None
    command = ["docker", "--host", docker_host, "version", "--format", "{{.Server.Version}}"]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return asked.stdout.strip() if asked.returncode == 0 else None


def _get(socket_path: str, path: str) -> Any:
    """GET over a Unix socket, without the import time of an HTTP library (`lab env` runs in every new shell)."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as wire:
            wire.settimeout(PROBE_TIMEOUT_S)
            wire.connect(socket_path)
            wire.sendall(f"GET {path} HTTP/1.0\r\nHost: docker\r\n\r\n".encode())
            received = b"".join(iter(lambda: wire.recv(65536), b""))
        return json.loads(received.partition(b"\r\n\r\n")[2])
    except (OSError, ValueError):
        return None


def parse_version(text: str) -> tuple[int, ...]:
    """``28.5.2+dfsg4`` → (28, 5, 2)."""
    found = re.match(r"\d+(?:\.\d+)*", text)
    return tuple(int(part) for part in found.group().split(".")) if found else ()


def log_file() -> Path:
    return paths.cache() / "engine.log"


def _make_and_start(current: Step) -> None:
    debian.require_root("starting a Docker engine of our own")
    with alone():
        if version(paths.ENGINE_HOST) is None:
            make_root(current)
            _start(current)
            _remove_other_roots()
            if cli_is_ours():
                offer_cli()  # it names the root, which may be another one by now
        current.result(f"Engine {version(paths.ENGINE_HOST)} at {paths.ENGINE_HOST}")


def _remove_other_roots() -> None:
    """Those that earlier recipes made. Nothing is started from them any more."""
    host_run = paths.gpu_host_run()
    if processes.recorded(host_run / "engine.pid", str(host_run)):  # perhaps started from one of them
        return
    for directory in paths.STATE.glob("root-*"):
        if directory != root():
            shutil.rmtree(directory, ignore_errors=True)


def _start(current: Step) -> None:
    _end(_running_pid())  # alive but not answering: it would hold the data directory
    debian.ensure_tools({"unshare": "util-linux"}, current, paths.cache() / "engine-root.log")
    PID_FILE.unlink(missing_ok=True)
    current.say("starting dockerd")
    log_file().parent.mkdir(parents=True, exist_ok=True)
    started_at_byte = log_file().stat().st_size if log_file().exists() else 0
    daemon = launch(paths.STATE / "docker", paths.RUN, daemon_options(), log_file())
    deadline = time.monotonic() + START_BUDGET_S
    while (found := version(paths.ENGINE_HOST)) is None:
        if daemon.poll() is not None or time.monotonic() > deadline:
            what = "ended at once" if daemon.poll() is not None else f"did not answer within {START_BUDGET_S:.0f} s"
            tail = log_file().read_bytes()[started_at_byte:].decode(errors="replace").splitlines()[-15:]
            _end(_running_pid())
            raise StepFailed(
                f"the lab's Docker engine {what}; its whole log is {log_file()}",
                "python3 -m lab down && python3 -m lab up   # or install Docker Engine 28.3.3 or later yourself",
                tail,
            )
        time.sleep(0.05)
    if parse_version(found) < FLOOR:
        raise StepFailed(
            f"Debian {SUITE} at {debian.MIRROR} has Engine {found}, and {'.'.join(map(str, FLOOR))} is needed",
            "set PAGEINDEX_STACK_DEBIAN_MIRROR to a mirror that is up to date",
        )


def launch(data: Path, run: Path, options: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    """Start a dockerd in namespaces of its own. Its process id will be in ``run``/engine.pid."""
    for directory in (data, run):
        directory.mkdir(parents=True, exist_ok=True)
    command: list[str | Path] = ["unshare", "--mount", "--pid", "--fork", "sh", SCRIPT, root(), data, run, *options]
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # survives the command that started it
            cwd="/",
        )


def daemon_options() -> list[str]:
    """dockerd's command line."""
    return [
        f"--host={paths.ENGINE_HOST}",
        "--group=root",  # the socket is root's alone; a group named docker need not exist
        "--data-root=/var/lib/docker",
        "--exec-root=/run/docker",
        "--pidfile=/run/docker.pid",
        "--storage-driver=overlay2",
        f"--registry-mirror=http://{paths.REGISTRY}",
    ]


def _running_pid() -> int | None:
    return processes.recorded(PID_FILE, paths.ENGINE_HOST)


def _end(pid: int | None) -> None:
    """Stop the engine: politely first, so that containers get their SIGTERM."""
    if not processes.end(pid, STOP_BUDGET_S):
        raise StepFailed(f"the lab's Docker engine (process {pid}) does not end", f"ps -o pid,stat,wchan,args {pid}")


def down() -> None:
    """Stop the lab's engine and with it its containers, shims and mounts. Images, volumes and networks stay."""
    pid = _running_pid()
    with step("Stop the lab's Docker engine") as current:
        if pid is None:
            current.result("it was not running")
        else:
            _end(pid)
            paths.ENGINE_SOCKET.unlink(missing_ok=True)
        PID_FILE.unlink(missing_ok=True)


def clean() -> None:
    """Remove the engine and all that it holds: root, images, containers, volumes, bridges, firewall rules."""
    down()
    with step("Remove the lab's Docker engine"):
        if root().exists() and version(f"unix://{DEFAULT_SOCKET}") is None:
            remove_interfaces_and_rules()
        if cli_is_ours():
            engine_root.HOST_CLI.unlink()
        for directory in (paths.STATE, paths.RUN, paths.cache()):
            shutil.rmtree(directory, ignore_errors=True)
            if directory.exists():
                raise StepFailed(f"{directory} cannot be removed completely", f"rm -rf {directory}")


def status() -> str:
    """One line for `python3 -m lab status`."""
    found = version(paths.ENGINE_HOST)
    if found is not None:
        return f"Engine {found} at {paths.ENGINE_HOST}, process {_running_pid()}"
    return "down" if root().exists() else "not installed"
