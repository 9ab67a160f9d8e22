"""The lab's model hub: plays Hugging Face for containers where the real one can't be reached.

A process of its own on the address that the Docker host has on its default bridge, so that every container with a way
out reaches it, and nobody outside of this machine does.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import http.client
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lab import paths, small_model
from machine.console import StepFailed, step

HUGGING_FACE = "https://huggingface.co"
PORT = 8790  # PAGEINDEX_STACK_HUB_PORT overrides it; the admin routes are one above, on 127.0.0.1
PROBE_TIMEOUT_S = 3.0
START_BUDGET_S = 30.0
STOP_BUDGET_S = 5.0
SIOCGIFADDR = 0x8915
SOURCES = ("hub_process.py", "hub_server.py", "hub_store.py", "hub_faults.py")


def ensure(docker_host: str) -> str:
    """The endpoint of a hub that answers: the real one or the chosen mirror, else the lab's own, started if need be."""
    chosen = os.environ.get("HF_ENDPOINT", "").rstrip("/")
    running = endpoint_in_use()
    if running is None or chosen not in ("", running):
        with step("Model hub") as current:
            for candidate in filter(None, (chosen, HUGGING_FACE)):
                if candidate != running and answers(candidate):
                    current.result(f"{candidate} answers")
                    return candidate
            if chosen not in ("", running):
                current.say(f"{chosen} does not answer, the lab's hub stands in")
            endpoint = _ensure_own(docker_host)
            current.result(f"the lab's, at {endpoint}")
            return endpoint
    return _ensure_own(docker_host)


def answers(endpoint: str) -> bool:
    """Whether a Hub is there: one short attempt, and the answer must be a Hub's."""
    try:
        url = f"{endpoint}/api/models/{small_model.REPO}"
        with urllib.request.urlopen(url, timeout=PROBE_TIMEOUT_S) as answer:  # noqa: S310 (an address the user chose)
            return "sha" in json.load(answer)
    except (OSError, ValueError, http.client.HTTPException):
        return False


def endpoint_in_use() -> str | None:
    """The lab's hub as a shell should export it, if its process lives. Starts nothing, asks nobody."""
    record = _record()
    return str(record["endpoint"]) if record else None


def status() -> str:
    """One line for people."""
    record = _record()
    if record is None:
        return "not running"
    state = "answering" if _healthy(record["endpoint"]) else "NOT answering"
    return f"{state} at {record['endpoint']}, admin at {record['admin']}, pid {record['pid']}, log {_log()}"


def admin(method: str, path: str, body: Any = None) -> Any:
    """Use the admin routes: ``admin("PUT", "/faults", [{"kind": "status", "status": 503, "times": 1}])``."""
    record = _record()
    if record is None:
        raise StepFailed("the lab's model hub is not running", "python3 -m lab up")
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{record['admin']}{path}", data=data, method=method)  # noqa: S310 (our own)
    try:
        with urllib.request.urlopen(request, timeout=PROBE_TIMEOUT_S) as answer:  # noqa: S310
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise ValueError(json.load(error)["error"]) from None


def down() -> None:
    """End the process, whatever it is doing."""
    record = _record()
    if record is not None:
        pid = int(record["pid"])
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
            deadline = time.monotonic() + STOP_BUDGET_S
            while _lives(record) and time.monotonic() < deadline:
                time.sleep(0.02)
            if _lives(record):
                os.kill(pid, signal.SIGKILL)
    _pid_file().unlink(missing_ok=True)


def clean() -> None:
    """End the process and remove its files, the model it serves included."""
    down()
    small_model.clean()
    shutil.rmtree(paths.cache() / "hub", ignore_errors=True)
    for path in (_log(), _lock_file(), paths.cache() / "small_model.log"):
        path.unlink(missing_ok=True)


def bridge_address(docker_host: str) -> str:
    """The Docker host's own address on its default bridge."""
    command = ["docker", "--host", docker_host, "network", "inspect", "bridge"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        detail = str(getattr(error, "stderr", "") or error).strip()
        raise StepFailed(
            f"the Docker daemon at {docker_host} does not answer: {detail}", "python3 -m lab up"
        ) from error
    network = json.loads(found.stdout)[0]
    for subnet in network["IPAM"]["Config"] or []:
        if "." in subnet.get("Gateway", ""):
            return str(subnet["Gateway"])
    bridge = network["Options"].get("com.docker.network.bridge.name", "docker0")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            answer = fcntl.ioctl(probe, SIOCGIFADDR, struct.pack("256s", bridge.encode()[:15]))
        except OSError as error:
            raise StepFailed(f"the default Docker bridge {bridge} has no address on this machine") from error
    return socket.inet_ntoa(answer[20:24])


def _ensure_own(docker_host: str) -> str:
    with _alone():
        host = bridge_address(docker_host)
        endpoint = f"http://{host}:{_port()}"
        model = small_model.ensure() if not small_model.model_dir().is_dir() else small_model.model_dir()
        wanted = {"endpoint": endpoint, "model": str(model), "version": _version()}
        record = _record()
        if record is not None and wanted.items() <= record.items() and _healthy(endpoint):
            return endpoint
        down()
        _start(host, model, wanted)
        return endpoint


def _start(host: str, model: Path, wanted: dict[str, str]) -> None:
    admin_port = _port() + 1
    command = [sys.executable, "-m", "lab.hub_process", "--host", host, "--port", str(_port())]
    command += ["--admin-port", str(admin_port), "--model", str(model)]
    with _log().open("ab") as log:
        process = subprocess.Popen(
            command,
            cwd=Path(__file__).parent.parent,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # it outlives the terminal that started it
        )
    record = wanted | {"pid": str(process.pid), "started": _start_ticks(process.pid) or ""}
    record["admin"] = f"http://127.0.0.1:{admin_port}"
    draft = _pid_file().with_suffix(".new")
    draft.write_text(json.dumps(record), encoding="utf-8")
    draft.rename(_pid_file())
    deadline = time.monotonic() + START_BUDGET_S
    while not _healthy(wanted["endpoint"]):
        if process.poll() is not None or time.monotonic() > deadline:
            tail = _log().read_text(encoding="utf-8", errors="replace").splitlines()[-10:]
            down()
            raise StepFailed(
                f"the lab's model hub did not start on {wanted['endpoint']}",
                "if the port is taken, set PAGEINDEX_STACK_HUB_PORT to a free one (and the next one free too)",
                tail,
            )
        time.sleep(0.05)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    paths.cache().mkdir(parents=True, exist_ok=True)
    with _lock_file().open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _record() -> dict[str, Any] | None:
    """What is known of the running process; None if it doesn't run."""
    try:
        record = json.loads(_pid_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record if _lives(record) else None


def _lives(record: dict[str, Any]) -> bool:
    # After a reboot another process may have the number; its start time tells them apart.
    return _start_ticks(int(record["pid"])) == str(record["started"])


def _start_ticks(pid: int) -> str | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


def _healthy(endpoint: str) -> bool:
    try:
        with urllib.request.urlopen(f"{endpoint}/health", timeout=PROBE_TIMEOUT_S) as answer:  # noqa: S310 (our own)
            return bool(json.load(answer) == {"status": "ok"})
    except (OSError, ValueError, KeyError, http.client.HTTPException):
        return False


def _version() -> str:
    sources = b"".join(Path(__file__).with_name(name).read_bytes() for name in SOURCES)
    return hashlib.sha256(sources).hexdigest()[:12]


def _port() -> int:
    return int(os.environ.get("PAGEINDEX_STACK_HUB_PORT") or PORT)


def _pid_file() -> Path:
    return paths.cache() / "hub.json"


def _lock_file() -> Path:
    return paths.cache() / ".hub.lock"


def _log() -> Path:
    return paths.cache() / "hub.log"
