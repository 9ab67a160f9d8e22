"""A GPU host for the tests: a machine of its own as far as anybody outside can tell, reached over ssh.

It has its own root, processes, network address, ports, sshd and Docker engine. Its cards are simulated (cards.py), its
vLLM is the CPU's under the GPU images' names (images/vllm-gpu). Loopback ports there are not loopback ports here.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab import cards, engine, engine_root, host_network, images, paths, processes, recipes
from lab.cards import Faults
from machine import debian
from machine.console import Step, StepFailed, step

USER = "gpu"
SCRIPT = Path(__file__).with_name("gpu_host") / "start.sh"
START_BUDGET_S = 60.0
SSH_PORT = 22
ROOT_MIB = 600  # changes to the root, and the keys; images need their own space
IMAGES = ("python:3.11-slim-bookworm", "nginx:1.30.6", *recipes.GPU_IMAGES)


@dataclass(frozen=True)
class Host:
    """How to reach it: as a stranger by ssh, and for the lab itself by its engine's socket."""

    profile: str
    address: str  # ssh://gpu@198.18.213.2, as `docker -H` and a stack's host.docker take it
    hostname: str
    user: str
    identity_file: Path
    host_key: str  # "ssh-ed25519 AAAA…"
    known_hosts: Path
    docker_host: str  # the same engine without ssh, for putting images there
    pid: int

    def ssh(self, *command: str, options: Sequence[str] = ()) -> list[str]:
        """The ssh command line that runs ``command`` there, with nothing of the caller's own ssh configuration."""
        return ["ssh", *self.ssh_options(), *options, f"{self.user}@{self.hostname}", *command]

    def ssh_options(self) -> list[str]:
        return [
            "-F", "none", "-o", "BatchMode=yes", "-o", f"IdentityFile={self.identity_file}",
            "-o", "IdentitiesOnly=yes", "-o", f"UserKnownHostsFile={self.known_hosts}",
            "-o", "GlobalKnownHostsFile=none", "-o", "StrictHostKeyChecking=yes",
        ]  # fmt: skip

    def path(self, there: str) -> Path:
        """A file of the host, seen from here; for putting model directories there and for looking at what it left."""
        return Path(f"/proc/{self.pid}/root") / there.lstrip("/")


def state() -> Path:
    return paths.STATE / "gpu-host"


def docker_host() -> str:
    return f"unix://{paths.gpu_host_run() / 'docker.sock'}"


def log_file() -> Path:
    return paths.cache() / "gpu-host.log"


def ensure(profile: str, faults: Faults | None = None, names: Iterable[str] = IMAGES) -> Host:
    """The host, running, with the cards of ``profile`` and the images ``names``."""
    cards.find(profile)
    debian.require_root("starting a simulated GPU host")
    with _alone():
        if _pid() is None or engine.version(docker_host()) is None:
            with step("GPU host (lab)") as current:
                _start(current, profile)
                current.result(f"Engine {engine.version(docker_host())} at ssh://{USER}@{host_network.ADDRESS}")
        set_cards(profile, faults)
        _bring_images(list(names))
    return found()


def found() -> Host:
    """The host as it runs; StepFailed when it doesn't."""
    pid = _pid()
    if pid is None:
        raise StepFailed("the simulated GPU host does not run", "python3 -m lab host rtx5090x2")
    keys = state() / "keys"
    return Host(
        profile=json.loads((paths.gpu_host_run() / "profile.json").read_text())["profile"],
        address=f"ssh://{USER}@{host_network.ADDRESS}",
        hostname=host_network.ADDRESS,
        user=USER,
        identity_file=keys / "client",
        host_key=" ".join((keys / "host.pub").read_text().split()[:2]),
        known_hosts=keys / "known_hosts",
        docker_host=docker_host(),
        pid=pid,
    )


def set_cards(profile: str, faults: Faults | None = None) -> None:
    """Other cards, or something wrong with them, from now on; also for containers that run already."""
    cards.write(paths.gpu_host_run() / "cards", profile, faults)
    (paths.gpu_host_run() / "profile.json").write_text(json.dumps({"profile": profile, "faults": faults is not None}))
    pid = _pid()
    if pid is None:
        return
    memory = cards.meminfo(profile, Path("/proc/meminfo").read_text())
    inside = ["nsenter", f"--target={pid}", "--mount", "--pid"]  # both: umount asks /proc/self
    while subprocess.run([*inside, "umount", "/proc/meminfo"], capture_output=True, check=False).returncode == 0:
        pass
    if memory is not None:
        shown = paths.gpu_host_run() / "meminfo"
        shown.write_text(memory)
        subprocess.run([*inside, "mount", "--bind", str(shown), "/proc/meminfo"], check=True)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    paths.gpu_host_run().mkdir(parents=True, exist_ok=True)
    with (paths.gpu_host_run() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _start(current: Step, profile: str) -> None:
    _end(_pid())  # alive but not answering
    engine_root.ensure_root(current)
    tools = {"ssh": "openssh-client", "ssh-keygen": "openssh-client", "nsenter": "util-linux", "unshare": "util-linux"}
    debian.ensure_tools(tools, current, log_file())
    debian.require_space(paths.STATE, ROOT_MIB, "a simulated GPU host")
    _make_keys()
    _pid_file().unlink(missing_ok=True)
    (paths.gpu_host_run() / "docker.sock").unlink(missing_ok=True)
    for directory in state().glob("changes-*"):
        if directory.name != f"changes-{engine_root.root().name}":
            shutil.rmtree(directory, ignore_errors=True)
    set_cards(profile)
    current.say("starting sshd and dockerd in a network of their own")
    log_file().parent.mkdir(parents=True, exist_ok=True)
    started_at_byte = log_file().stat().st_size if log_file().exists() else 0
    daemon = _launch()
    deadline = time.monotonic() + START_BUDGET_S
    linked = False
    while not (linked and engine.version(docker_host()) and _sshd_answers()):
        if daemon.poll() is not None or time.monotonic() > deadline:
            what = "ended at once" if daemon.poll() is not None else f"did not answer within {START_BUDGET_S:.0f} s"
            tail = log_file().read_bytes()[started_at_byte:].decode(errors="replace").splitlines()[-15:]
            _end(_pid())
            mend = "python3 -m lab down   # then the same command again"
            raise StepFailed(f"the simulated GPU host {what}; its whole log is {log_file()}", mend, tail)
        if not linked and (pid := _pid()) is not None:
            host_network.connect(pid)
            linked = True
        time.sleep(0.05)


def _launch() -> subprocess.Popen[bytes]:
    command: list[str | Path] = ["unshare", "--net", "--mount", "--uts", "--pid", "--fork", "sh", SCRIPT]
    command += [engine_root.root(), state(), paths.gpu_host_run(), host_network.ADDRESS, host_network.GATEWAY]
    with log_file().open("ab") as output:
        return subprocess.Popen(
            [*command, *daemon_options()],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # survives the command that started it
            cwd="/",
        )


def daemon_options() -> list[str]:
    """dockerd's command line: mostly its defaults, as on somebody's server."""
    return [
        "--host=unix:///run/docker.sock",
        f"--host={docker_host()}",
        "--group=docker",
        "--data-root=/var/lib/docker",
        "--storage-driver=overlay2",
        "--add-runtime=nvidia=/usr/bin/nvidia-container-runtime",
        # Apart from the networks of any engine out here, of which some must be reached from there (the model hub's).
        f"--bip={host_network.BRIDGE}",
        f"--default-address-pool=base={host_network.POOL},size=24",
    ]


def _make_keys() -> None:
    keys = state() / "keys"
    keys.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name in ("host", "client"):
        if not (keys / f"{name}.pub").exists():
            (keys / name).unlink(missing_ok=True)
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"lab-{name}", "-f", str(keys / name)]
            subprocess.run(command, check=True)
    kind, key = (keys / "host.pub").read_text().split()[:2]
    (keys / "known_hosts").write_text(f"{host_network.ADDRESS} {kind} {key}\n")


def _sshd_answers() -> bool:
    try:
        with socket.create_connection((host_network.ADDRESS, SSH_PORT), timeout=2) as wire:
            return wire.recv(8).startswith(b"SSH-2.0")
    except OSError:
        return False


def _bring_images(names: list[str]) -> None:
    """Those that the lab's other engine has, or can make, come from there; the GPU images are layers on top."""
    plain = [name for name in names if not recipes.for_gpu(name)]
    stacked = [name for name in names if recipes.for_gpu(name)]
    bases = [recipes.CPU_VLLM] if stacked else []
    wanted = [name for name in dict.fromkeys([*plain, *bases]) if not images.is_current(name, docker_host())]
    if wanted:
        source = engine.ensure()
        images.ensure(wanted, source)
        images.copy(wanted, source, docker_host())
    images.ensure(stacked, docker_host())


def _pid_file() -> Path:
    return paths.gpu_host_run() / "engine.pid"


def _pid() -> int | None:
    """The host's first process as this machine numbers it; None when it is gone."""
    return processes.recorded(_pid_file(), str(paths.gpu_host_run()))


def _end(pid: int | None) -> None:
    if not processes.end(pid, engine.STOP_BUDGET_S):
        raise StepFailed(f"the simulated GPU host (process {pid}) does not end", f"ps -o pid,stat,wchan,args {pid}")


def runs() -> bool:
    return _pid() is not None


def down() -> None:
    """Stop it, containers included. Its disk, images and weights too, stays."""
    if not paths.gpu_host_run().exists():
        return
    pid = _pid()
    with step("Stop the simulated GPU host") as current:
        if pid is None:
            current.result("it was not running")
        _end(pid)
        _pid_file().unlink(missing_ok=True)
        host_network.disconnect()


def clean() -> None:
    """Stop it and remove its disk and keys."""
    down()
    for directory in (state(), paths.gpu_host_run()):
        shutil.rmtree(directory, ignore_errors=True)
        if directory.exists():
            raise StepFailed(f"{directory} cannot be removed completely", f"rm -rf {directory}")
    log_file().unlink(missing_ok=True)


def status() -> str:
    """One line for `python3 -m lab status`."""
    if runs() and engine.version(docker_host()):
        host = found()
        return f"{host.profile}, Engine {engine.version(docker_host())} at {host.address}, process {host.pid}"
    return "down" if state().exists() else "not installed"
