"""Which Docker daemon is used, and what is said when none can be."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab import engine, engine_root, paths
from machine import debian
from machine.console import StepFailed

Daemon = Callable[[str], str]


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    """Starts stand-ins for dockerd that answer every request with a version."""
    stopped = threading.Event()
    with tempfile.TemporaryDirectory() as directory:  # pytest's own are too long for a socket's name

        def start(version: str) -> str:
            path = f"{directory}/{len(list(Path(directory).iterdir()))}.sock"
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(path)
            listener.listen()
            listener.settimeout(0.05)
            body = json.dumps({"Version": version})

            def serve() -> None:
                while not stopped.is_set():
                    try:
                        wire, _ = listener.accept()
                    except TimeoutError:
                        continue
                    with wire:
                        wire.recv(4096)
                        wire.sendall(f"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n{body}".encode())
                listener.close()

            threading.Thread(target=serve).start()
            return path

        yield start
        stopped.set()


@pytest.fixture(autouse=True)
def nothing_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No daemon, no choice made, and nothing may be started."""
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setattr(engine, "DEFAULT_SOCKET", str(tmp_path / "none.sock"))
    monkeypatch.setattr(paths, "ENGINE_HOST", f"unix://{tmp_path}/none-either.sock")
    monkeypatch.setattr(paths, "ENGINE_SOCKET", tmp_path / "run" / "docker.sock")
    monkeypatch.setattr(paths, "RUN", tmp_path / "run")
    monkeypatch.setattr(engine, "PID_FILE", tmp_path / "run" / "engine.pid")

    def refuse(*_: object) -> None:
        raise AssertionError("it started an engine")

    monkeypatch.setattr(engine, "_make_and_start", refuse)


def test_a_daemon_on_the_default_socket_is_used(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "DEFAULT_SOCKET", daemon("27.0.0"))
    assert engine.ensure() == f"unix://{engine.DEFAULT_SOCKET}"
    assert engine.docker_host_in_use() is None, "nothing to export: docker finds it by itself"


def test_a_chosen_daemon_is_used_even_where_another_answers(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "DEFAULT_SOCKET", daemon("27.0.0"))
    monkeypatch.setattr(paths, "ENGINE_HOST", f"unix://{daemon('28.5.2')}")
    chosen = f"unix://{daemon('29.1.0')}"
    monkeypatch.setenv("DOCKER_HOST", chosen)
    assert engine.ensure() == chosen
    assert engine.docker_host_in_use() is None


def test_a_chosen_daemon_that_does_not_answer_is_an_error_and_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
    with pytest.raises(StepFailed) as failure:
        engine.ensure()
    assert failure.value.what == "DOCKER_HOST is unix:///nowhere.sock, and no Docker daemon answers there"
    assert "unset DOCKER_HOST" in failure.value.mend


def test_the_labs_engine_is_found_again_and_exported(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "ENGINE_HOST", f"unix://{daemon('28.5.2')}")
    monkeypatch.setattr(engine.shutil, "which", lambda _: "/usr/bin/docker")
    assert engine.ensure() == paths.ENGINE_HOST == engine.docker_host_in_use()
    monkeypatch.setenv("DOCKER_HOST", paths.ENGINE_HOST)
    assert engine.ensure() == paths.ENGINE_HOST == engine.docker_host_in_use()


def test_nothing_is_exported_while_nothing_runs() -> None:
    assert engine.docker_host_in_use() is None


def test_a_socket_that_nobody_listens_on_is_no_daemon(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
    assert engine.version(f"unix://{path}") is None


def test_versions_are_compared_as_numbers() -> None:
    assert engine.parse_version("28.5.2+dfsg4") == (28, 5, 2) > engine.FLOOR
    assert engine.parse_version("20.10.24+dfsg1") < engine.FLOOR
    assert engine.parse_version("28.10.0") > engine.parse_version("28.9.9")
    assert engine.parse_version("garbage") < engine.FLOOR


def test_another_recipe_gets_another_root(monkeypatch: pytest.MonkeyPatch) -> None:
    before = engine_root.root()
    monkeypatch.setattr(engine_root, "PACKAGES", (*engine_root.PACKAGES, "nano"))
    assert engine_root.root() != before


def test_a_process_that_has_taken_over_the_number_is_not_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    bystander = subprocess.Popen(["sleep", "60"])
    try:
        engine.PID_FILE.parent.mkdir(parents=True)
        engine.PID_FILE.write_text(str(bystander.pid))
        engine.down()
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_not_root_is_said_before_anything_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(StepFailed) as failure:
        debian.require_root("starting a Docker engine of our own")
    assert failure.value.what == "starting a Docker engine of our own needs root, and this runs as user id 1000"
    assert "sudo" in failure.value.mend


def test_a_full_disk_is_said_with_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(StepFailed, match=r"the image needs 1000000000 MiB in .*/not/yet, and \d+ MiB are free"):
        debian.require_space(tmp_path / "not" / "yet", 1_000_000_000, "the image")
    debian.require_space(tmp_path / "not" / "yet", 1, "the image")


def test_a_machine_without_apt_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(debian.shutil, "which", lambda _: None)
    monkeypatch.setattr(debian, "_missing", lambda _: True)
    with pytest.raises(StepFailed) as failure:
        debian.ensure_tools({"mmdebstrap": "mmdebstrap"}, None, tmp_path / "log")  # type: ignore[arg-type]
    assert failure.value.what == "this machine has no apt-get, and mmdebstrap must be installed"


def test_tools_that_are_there_cost_nothing(tmp_path: Path) -> None:
    debian.ensure_tools({"sh": "dash", "ls": "coreutils"}, None, tmp_path / "log")  # type: ignore[arg-type]
    assert not (tmp_path / "log").exists()


def test_a_docker_command_is_offered_where_there_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(engine_root, "HOST_CLI", tmp_path / "bin" / "docker")
    (tmp_path / "bin").mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    engine_root.offer_cli()
    assert os.access(engine_root.HOST_CLI, os.X_OK)
    assert str(engine_root.root()) in engine_root.HOST_CLI.read_text()
    monkeypatch.setattr(engine_root, "PACKAGES", ("other",))
    engine_root.offer_cli()
    assert str(engine_root.root()) in engine_root.HOST_CLI.read_text(), "it follows the root"


def test_somebody_elses_docker_command_is_never_overwritten(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(engine_root, "HOST_CLI", tmp_path / "docker")
    engine_root.HOST_CLI.write_bytes(b"\x7fELF and so on")
    with pytest.raises(StepFailed, match="is there, but not on PATH"):
        engine_root.offer_cli()
    assert engine_root.HOST_CLI.read_bytes() == b"\x7fELF and so on"
