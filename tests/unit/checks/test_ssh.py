"""Commands over ssh: what is asked of ssh, what is tried again, what is not, and how many at once."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from host_access import commands as module
from host_access.commands import LocalCommands, SshCommands, commands_on
from host_access.docker_host import DockerHost
from host_access.outcome import CheckFailed
from planning.hosts.ssh import SshHost

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
HOST = SshHost(address="ssh://gpu@10.0.0.5:2222", host_key=KEY, parallel=2)

FAKE = """#!{python}
import fcntl, json, pathlib, sys, time
here = pathlib.Path(__file__).parent
with (here / "lock").open("a") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    plan = json.loads((here / "plan").read_text())
    answer = plan.pop(0) if len(plan) > 1 else plan[0]
    (here / "plan").write_text(json.dumps(plan))
    with (here / "calls").open("a") as calls:
        calls.write(json.dumps([sys.argv[1:], sys.stdin.read()]) + "\\n")
    running = here / "running"
    now = int(running.read_text() or 0) + 1 if running.exists() else 1
    running.write_text(str(now))
    most = here / "most"
    most.write_text(str(max(now, int(most.read_text()) if most.exists() else 0)))
time.sleep(answer.get("takes_s", 0))
with (here / "lock").open("a") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    running.write_text(str(int(running.read_text()) - 1))
sys.stdout.write(answer.get("out", ""))
sys.stderr.write(answer.get("err", ""))
sys.exit(answer.get("code", 0))
"""


class FakeSsh:
    def __init__(self, directory: Path):
        self.directory = directory

    def plays(self, *answers: dict[str, object]) -> None:
        (self.directory / "plan").write_text(json.dumps(answers))

    @property
    def calls(self) -> list[tuple[list[str], str]]:
        file = self.directory / "calls"
        return [tuple(json.loads(line)) for line in file.read_text().splitlines()] if file.exists() else []

    @property
    def most_at_once(self) -> int:
        return int((self.directory / "most").read_text())


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSsh:
    """A stand-in for ssh on PATH that plays one answer after the other, and stays at the last."""
    directory = tmp_path / "bin"
    directory.mkdir()
    (directory / "ssh").write_text(FAKE.format(python=sys.executable))
    (directory / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")
    monkeypatch.setenv("PAGEINDEX_STACK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(module, "PAUSES_S", (0.01, 0.01, 0.01))
    fake = FakeSsh(directory)
    fake.plays({"out": "ok"})
    return fake


LOST = {"code": 255, "err": "kex_exchange_identification: Connection closed by remote host\n"}


def test_a_command_goes_to_the_host_as_it_is_with_the_key_pinned(ssh: FakeSsh) -> None:
    SshCommands(HOST).run(["docker", "inspect", "--format", "{{.Id}} x", "a b"], timeout_s=10)
    arguments, _ = ssh.calls[0]
    assert arguments[-1] == "docker inspect --format '{{.Id}} x' 'a b'"
    assert arguments[-7:-1] == ["-p", "2222", "-l", "gpu", "--", "10.0.0.5"]
    assert "StrictHostKeyChecking=yes" in arguments
    assert f"KnownHostsCommand=/usr/bin/env echo %H {KEY}" in arguments
    assert "BatchMode=yes" in arguments


def test_text_goes_to_standard_input_and_our_own_is_never_swallowed(ssh: FakeSsh) -> None:
    commands = SshCommands(HOST)
    commands.run(["sh", "-s"], text="echo hi", timeout_s=10)
    commands.run(["true"], timeout_s=10)
    assert [text for _, text in ssh.calls] == ["echo hi", ""]


def test_a_lost_connection_is_tried_again(ssh: FakeSsh, capsys: pytest.CaptureFixture[str]) -> None:
    ssh.plays(LOST, LOST, {"out": "there"})
    assert SshCommands(HOST).run(["true"], timeout_s=10).stdout == "there"
    assert "no connection to 10.0.0.5 (kex_exchange_identification" in capsys.readouterr().err


def test_a_connection_that_stays_lost_fails_with_what_ssh_said_last(ssh: FakeSsh) -> None:
    ssh.plays({"code": 255, "err": "ssh: connect to host 10.0.0.5 port 2222: Connection refused\n"})
    with pytest.raises(CheckFailed) as raised:
        SshCommands(HOST).run(["true"], timeout_s=10)
    assert raised.value.got.startswith(
        "none in 4 attempts: ssh: connect to host 10.0.0.5 port 2222: Connection refused"
    )
    assert len(ssh.calls) == 4


def test_a_failing_command_is_no_lost_connection(ssh: FakeSsh) -> None:
    ssh.plays({"code": 1, "err": "no such container"})
    assert SshCommands(HOST).run(["docker", "inspect", "x"], timeout_s=10).returncode == 1
    assert len(ssh.calls) == 1


@pytest.mark.parametrize(
    ("said", "word"),
    [
        ("The fingerprint is\nSHA256:AfBRHJhPvaagSIJRZaaddW7oecjVZEYeaALiyVjg/78.\nHost key verification failed.\n",
         "another key, SHA256:AfBRHJhPvaagSIJRZaaddW7oecjVZEYeaALiyVjg/78"),
        ("Unable to negotiate with 10.0.0.5: no matching host key type found. Their offer: ssh-rsa\n", "Their offer"),
        ("gpu@10.0.0.5: Permission denied (publickey).\n", "Permission denied (publickey)"),
        ("ssh: Could not resolve hostname gpu-box: Name or service not known\n", "Name or service not known"),
        ("command-line: line 0: Bad configuration option: knownhostscommand\n", "knownhostscommand"),
    ],
)  # fmt: skip
def test_what_no_retry_mends_fails_at_once(ssh: FakeSsh, said: str, word: str) -> None:
    ssh.plays({"code": 255, "err": said})
    with pytest.raises(CheckFailed) as raised:
        SshCommands(HOST).run(["true"], timeout_s=10)
    assert word in raised.value.got
    assert len(ssh.calls) == 1


def test_a_wrong_key_is_reported_with_the_expected_fingerprint(ssh: FakeSsh) -> None:
    ssh.plays({"code": 255, "err": "Host key verification failed.\n"})
    with pytest.raises(CheckFailed) as raised:
        SshCommands(HOST).run(["true"], timeout_s=10)
    assert "SHA256:ZkAslGjFiUHdGf/WUL8rQvkib4PTvQatUV0OUQSncCA" in raised.value.expected
    assert "somebody may sit in between" in raised.value.do


def test_no_more_connections_at_once_than_allowed(ssh: FakeSsh) -> None:
    ssh.plays({"takes_s": 0.05})
    threads = [
        threading.Thread(target=lambda: SshCommands(HOST).run(["true"], timeout_s=30)) for _ in range(6)
    ]  # fmt: skip
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ssh.calls) == 6
    assert ssh.most_at_once <= 2


def test_what_ssh_says_of_sharing_a_connection_is_not_the_commands(ssh: FakeSsh) -> None:
    ssh.plays({"err": "ControlSocket /root/.x already exists, disabling multiplexing\nwarning: real\n"})
    assert SshCommands(HOST).run(["true"], timeout_s=10).stderr == "warning: real\n"


def test_without_ssh_the_failure_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PAGEINDEX_STACK_CACHE", str(tmp_path / "cache"))
    with pytest.raises(CheckFailed) as raised:
        SshCommands(HOST).run(["true"], timeout_s=10)
    assert "openssh-client" in raised.value.do


@pytest.mark.parametrize(
    "said",
    ["bash: line 1: docker: command not found\n", "sh: 1: docker: not found\n", "zsh:1: command not found: docker\n"],
)
def test_a_host_without_docker_is_named_in_whatever_words_its_shell_has(ssh: FakeSsh, said: str) -> None:
    ssh.plays({"code": 127, "err": said})
    with pytest.raises(CheckFailed) as raised:
        DockerHost(HOST.facts()).container("x")
    assert raised.value.expected == "the docker command line"


def test_a_file_that_a_container_cannot_show_is_empty_not_a_missing_docker(ssh: FakeSsh) -> None:
    ssh.plays({"code": 127, "err": 'OCI runtime exec failed: "cat": executable file not found in $PATH\n'})
    assert DockerHost(HOST.facts()).read_file("x", "/proc/net/route") == ""


@pytest.mark.parametrize(
    ("answer", "end"),
    [
        ({"out": "0001-01-01T00:00:00Z\n"}, ""),
        ({"out": "2026-11-27T12:00:00.5Z\n"}, "2026-11-27T12:00:00.5Z"),
        ({"code": 1, "err": "Error response from daemon: No such container: x\n"}, "removed"),
        ({"code": 1, "err": "Cannot connect to the Docker daemon\n"}, ""),
        ({"code": 127, "err": "bash: line 1: docker: command not found\n"}, ""),
        ({"code": 255, "err": "gpu@host: Permission denied (publickey).\n"}, ""),
    ],
)
def test_the_end_of_a_containers_process_is_known_unless_nobody_answers(
    ssh: FakeSsh, answer: dict[str, object], end: str
) -> None:
    ssh.plays(answer)
    assert DockerHost(HOST.facts()).last_end("x") == end


def test_a_container_that_was_removed_is_named_with_the_command_that_brings_it_back(ssh: FakeSsh) -> None:
    ssh.plays({"code": 1, "err": "Error response from daemon: No such container: x\n"})
    with pytest.raises(CheckFailed) as raised:
        DockerHost(HOST.facts()).container("x")
    assert (raised.value.expected, raised.value.do) == ("container x", "pulumi up --refresh")


def test_only_ssh_hosts_are_reached_over_ssh() -> None:
    reached: Callable[[object], type] = lambda address: type(commands_on(address))  # type: ignore[arg-type]  # noqa: E731
    assert reached(None) is LocalCommands
    assert reached("unix:///run/docker.sock") is LocalCommands
    assert reached("ssh://gpu@host") is SshCommands
    assert reached(HOST.facts()) is SshCommands
