"""The lab's Docker Hub: Debian's docker-registry on loopback, which the lab's engine asks before Docker Hub itself."""

from __future__ import annotations

import fcntl
import http.client
import shutil
import socket
import subprocess
import time
from pathlib import Path

from lab import engine_root, paths, processes
from machine.console import StepFailed, step

START_BUDGET_S = 20.0
STOP_BUDGET_S = 10.0
PID_FILE = paths.RUN / "registry.pid"
CONFIG = """\
version: 0.1
log: {{level: info, accesslog: {{disabled: false}}}}
storage:
  filesystem: {{rootdirectory: {blobs}}}
  delete: {{enabled: true}}
  cache: {{blobdescriptor: inmemory}}
http:
  addr: {address}
"""


def url() -> str:
    return f"http://{paths.REGISTRY}"


def log_file() -> Path:
    return paths.cache() / "registry.log"


def ensure() -> str:
    """The registry's address; started if it doesn't answer. It needs the root that the lab's engine runs from."""
    if answers():
        return url()
    with step("Registry (lab)") as current:
        paths.RUN.mkdir(parents=True, exist_ok=True)
        with (paths.RUN / "registry.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not answers():
                engine_root.ensure_root(current)
                _start()
        current.result(f"at {url()}")
    return url()


def answers() -> bool:
    """Whether a registry answers there; something else on the port is none."""
    host, _, port = paths.REGISTRY.partition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=2.0)
    try:
        connection.request("GET", "/v2/")
        return connection.getresponse().getheader("Docker-Distribution-Api-Version") == "registry/2.0"
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _start() -> None:
    _end(_running_pid())
    _refuse_taken_port()
    blobs = paths.STATE / "registry"
    configuration = paths.RUN / "registry.yml"
    for directory in (blobs, paths.cache()):
        directory.mkdir(parents=True, exist_ok=True)
    configuration.write_text(CONFIG.format(blobs=blobs, address=paths.REGISTRY))
    command = [*engine_root.inside_root("docker-registry"), "serve", str(configuration)]
    with log_file().open("ab") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/"
        )
    PID_FILE.write_text(str(process.pid))
    deadline = time.monotonic() + START_BUDGET_S
    while not answers():
        if process.poll() is not None or time.monotonic() > deadline:
            _end(_running_pid())
            tail = log_file().read_text(errors="replace").splitlines()[-10:]
            raise StepFailed(f"the lab's registry did not start; its whole log is {log_file()}", "", tail)
        time.sleep(0.02)


def _refuse_taken_port() -> None:
    host, _, port = paths.REGISTRY.partition(":")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, int(port)))
        except OSError as error:
            raise StepFailed(
                f"port {port} of {host}, the lab's registry's, is taken ({error.strerror})",
                f"ss -ltnp 'sport = :{port}'   # says by whom; PAGEINDEX_STACK_REGISTRY_PORT names another port",
            ) from error


def _running_pid() -> int | None:
    return processes.recorded(PID_FILE, "docker-registry")


def _end(pid: int | None) -> None:
    processes.end(pid, STOP_BUDGET_S)


def down() -> None:
    """Stop the process. What was pushed stays."""
    _end(_running_pid())
    PID_FILE.unlink(missing_ok=True)


def clean() -> None:
    """Stop the process and remove what was pushed."""
    down()
    shutil.rmtree(paths.STATE / "registry", ignore_errors=True)
    log_file().unlink(missing_ok=True)


def status() -> str:
    """One line for people."""
    return f"answering at {url()}, pid {_running_pid()}, log {log_file()}" if answers() else "not running"
