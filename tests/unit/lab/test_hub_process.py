"""The hub as a process of its own: started once, found again, ended, and left alone where a real hub answers."""

from __future__ import annotations

import os
import random
import socket
import threading
import urllib.request
from pathlib import Path

import pytest

from lab import hub, small_model
from lab.hub_server import HubServer
from lab.hub_store import Snapshot, Store
from machine.console import StepFailed

NOBODY = "http://127.0.0.1:9"


def free_port_pair() -> int:
    """A port with a free one above it, below those that the kernel gives to any outgoing connection in between."""
    for port in random.sample(range(20000, 32000, 2), 50):
        with socket.socket() as one, socket.socket() as two:
            try:
                one.bind(("127.0.0.1", port))
                two.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port
    raise AssertionError("no two free ports in a row")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A cache of its own, a model of three bytes, loopback in place of the Docker bridge, no real hub in reach."""
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_bytes(b"{}\n")
    monkeypatch.setenv("PAGEINDEX_STACK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PAGEINDEX_STACK_HUB_PORT", str(free_port_pair()))
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    monkeypatch.setattr(hub, "HUGGING_FACE", NOBODY)
    monkeypatch.setattr(hub, "bridge_address", lambda docker_host: "127.0.0.1")
    monkeypatch.setattr(small_model, "model_dir", lambda: model)
    yield model
    hub.down()


def pid() -> str:
    return hub.status().split("pid ")[1].split(",")[0]


def test_it_starts_once_and_is_found_again(place):
    endpoint = hub.ensure("unix:///nowhere")
    with urllib.request.urlopen(f"{endpoint}/any/model/resolve/main/config.json", timeout=5) as answer:
        assert answer.read() == b"{}\n"
    first = pid()
    assert hub.ensure("unix:///nowhere") == endpoint
    assert pid() == first
    assert hub.endpoint_in_use() == endpoint


def test_down_ends_it_and_clean_leaves_nothing(place):
    hub.ensure("unix:///nowhere")
    number = int(pid())
    hub.down()
    assert hub.endpoint_in_use() is None
    assert hub.status() == "not running"
    stat = Path(f"/proc/{number}/stat")
    assert not stat.exists() or " Z " in stat.read_text()
    hub.clean()
    assert not [path for path in Path(os.environ["PAGEINDEX_STACK_CACHE"]).rglob("*") if path.is_file()]


def test_faults_and_access_are_set_from_this_machine(place):
    endpoint = hub.ensure("unix:///nowhere")
    hub.admin("PUT", "/faults", [{"kind": "status", "status": 503, "times": 1}])
    with pytest.raises(urllib.error.HTTPError, match="503"):
        urllib.request.urlopen(f"{endpoint}/any/model/resolve/main/config.json", timeout=5)
    assert hub.admin("GET", "/faults") == []
    assert hub.admin("PUT", "/access", {"known": ["a/b"], "gated": {"a/b": ["t"]}})["known"] == ["a/b"]
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"{endpoint}/any/model/resolve/main/config.json", timeout=5)
    assert len(hub.admin("GET", "/requests")) == 2
    assert hub.admin("DELETE", "/requests") == []
    with pytest.raises(ValueError, match="kind is 'explode'"):
        hub.admin("PUT", "/faults", [{"kind": "explode"}])


def test_a_changed_program_is_restarted(place, monkeypatch):
    hub.ensure("unix:///nowhere")
    first = pid()
    monkeypatch.setattr(hub, "_version", lambda: "another")
    hub.ensure("unix:///nowhere")
    assert pid() != first


def test_a_port_that_is_taken_is_one_clear_sentence(place, monkeypatch):
    monkeypatch.setattr(hub, "PROBE_TIMEOUT_S", 0.2)  # whoever holds the port accepts and never answers
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", int(os.environ["PAGEINDEX_STACK_HUB_PORT"])))
        taken.listen()
        with pytest.raises(StepFailed) as failure:
            hub.ensure("unix:///nowhere")
    assert "did not start on" in failure.value.what
    assert "PAGEINDEX_STACK_HUB_PORT" in failure.value.mend
    assert hub.status() == "not running"


def test_a_hub_that_answers_is_used_and_nothing_is_started(place, monkeypatch):
    real = HubServer(("127.0.0.1", 0), Store(default=Snapshot.of(place)))
    threading.Thread(target=real.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        monkeypatch.setenv("HF_ENDPOINT", real.endpoint + "/")
        assert hub.ensure("unix:///nowhere") == real.endpoint
        monkeypatch.delenv("HF_ENDPOINT")
        monkeypatch.setattr(hub, "HUGGING_FACE", real.endpoint)
        assert hub.ensure("unix:///nowhere") == real.endpoint
    finally:
        real.stop()
    assert hub.endpoint_in_use() is None


def test_a_pid_file_of_a_process_that_is_gone_means_not_running(place):
    hub.ensure("unix:///nowhere")
    record = Path(os.environ["PAGEINDEX_STACK_CACHE"]) / "lab" / "hub.json"
    number = pid()
    record.write_text(record.read_text().replace(f'"pid": "{number}"', f'"pid": "{os.getpid()}"'))
    assert hub.endpoint_in_use() is None, "another process with the number is not ours, and is never ended"
    os.kill(int(number), 15)


def test_docker_that_does_not_answer_is_one_clear_sentence():
    with pytest.raises(StepFailed, match="does not answer"):
        hub.bridge_address("unix:///nowhere/docker.sock")
