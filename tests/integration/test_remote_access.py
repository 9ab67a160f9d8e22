"""A host over ssh, with a real sshd: who it is, how often one logs in, and what happens when the connection goes."""

from __future__ import annotations

import http.server
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from checks.asking import Asker
from checks.ports import ports
from host_access import commands
from host_access.commands import SshCommands
from host_access.docker_host import DockerHost
from host_access.outcome import CheckFailed
from host_access.tunnel import Tunnel
from planning.hosts.ssh import SshHost
from quickstart.environment import environment
from tests.integration.pulumi_project import REPOSITORY, free_port
from tests.integration.sshd_rig import Sshd, end_shared_connection
from tests.polling import until

pytestmark = pytest.mark.integration
PATIENCE_S = 20.0


@pytest.fixture
def sshd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sshd]:
    """Not started yet, so that a test can say how it behaves."""
    monkeypatch.setenv("PAGEINDEX_STACK_CACHE", str(tmp_path / "cache"))
    server = Sshd(tmp_path, {"DOCKER_HOST": environment().get("DOCKER_HOST", "unix:///var/run/docker.sock")})
    yield server
    end_shared_connection(server.host())
    server.stop()


def run(host: SshHost, *command: str, text: str = "") -> str:
    done = SshCommands(host).run(command, text=text, timeout_s=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_words_arrive_as_they_were(sshd: Sshd) -> None:
    sshd.start()
    assert (
        run(sshd.host(), "printf", "%s|", "a b", "$HOME", "it's", '{"x": "{{.Id}}"}')
        == 'a b|$HOME|it\'s|{"x": "{{.Id}}"}|'
    )


def test_many_commands_log_in_once(sshd: Sshd) -> None:
    sshd.start()
    for _ in range(5):
        run(sshd.host(), "true")
    assert sshd.logins() == 1


def test_another_key_than_the_pinned_one_is_refused_before_anything_runs(sshd: Sshd, tmp_path: Path) -> None:
    sshd.start()
    run(sshd.host(), "true")  # a connection with the right pin stands, and must not be found
    with pytest.raises(CheckFailed) as raised:
        run(sshd.host(host_key=sshd.public("stranger")), "touch", str(tmp_path / "ran"))
    assert "SHA256:" in raised.value.expected
    assert "SHA256:" in raised.value.got
    assert sshd.logins() == 1
    assert not (tmp_path / "ran").exists()


def test_a_known_hosts_file_does_as_well(sshd: Sshd, tmp_path: Path) -> None:
    sshd.start()
    host = sshd.host(host_key=None, known_hosts_file=str(tmp_path / "key-only-known-to-this-file"))
    try:
        assert run(host, "echo", "there") == "there\n"
    finally:
        end_shared_connection(host)
    (tmp_path / "key-only-known-to-this-file").write_text("")
    with pytest.raises(CheckFailed, match="to prove itself"):
        run(host, "true")


def test_a_login_that_is_refused_is_not_tried_again(sshd: Sshd, tmp_path: Path) -> None:
    sshd.start()
    with pytest.raises(CheckFailed, match="to be let in"):
        run(sshd.host(identity_file=str(tmp_path / "stranger")), "true")
    assert sshd.log.read_text().count("Connection from") == 1


def test_an_sshd_that_drops_handshakes_is_asked_again_until_all_have_been_served(sshd: Sshd) -> None:
    sshd.start("MaxStartups 1:100:1")
    answers: list[str] = []

    def one(number: int) -> None:
        # A connection each, as with a host that is asked for the first time by all at once.
        host = sshd.host(identity_file=str(sshd.directory / f"identity-{number}"))
        (sshd.directory / f"identity-{number}").symlink_to(sshd.directory / "identity")
        try:
            answers.append(run(host, "echo", str(number)))
        finally:
            end_shared_connection(host)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == ["0\n", "1\n", "2\n", "3\n"]


def test_a_cut_connection_is_made_anew(sshd: Sshd) -> None:
    sshd.start()
    run(sshd.host(), "true")
    sshd.cut()
    assert run(sshd.host(), "echo", "again") == "again\n"
    assert sshd.logins() == 2


def test_a_command_in_flight_when_the_connection_is_cut_runs_again(sshd: Sshd, tmp_path: Path) -> None:
    sshd.start()
    started = tmp_path / "started"
    script = f'echo x >> {started}; [ "$(wc -l < {started})" -gt 1 ] || sleep 60; echo done'
    cutter = threading.Thread(target=lambda: (until(started.exists, "the command to run", PATIENCE_S), sshd.cut()))
    cutter.start()
    assert run(sshd.host(), "sh", "-s", text=script) == "done\n"
    cutter.join()


def test_a_host_that_is_down_fails_in_bounded_time(sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "PAUSES_S", (0.1, 0.1))
    with pytest.raises(CheckFailed) as raised:
        run(sshd.host(), "true")
    assert raised.value.got.startswith("none in 3 attempts: ssh: connect to host 127.0.0.1")


def test_the_daemon_is_asked_over_there(sshd: Sshd) -> None:
    sshd.start()
    assert DockerHost(sshd.host().facts()).engine_version() >= (20, 10)
    assert sshd.logins() == 1


# HTTP through ssh


class Echo(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps({"host": self.headers["Host"], "key": self.headers["Authorization"]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def web() -> Iterator[int]:
    """The port of a web server on the host's loopback."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()


def test_the_gateway_on_the_hosts_loopback_is_reached_with_host_name_and_key(sshd: Sshd, web: int) -> None:
    sshd.start()
    facts = {"docker_host": sshd.host().facts(), "blame": "gateway", "api_key": "secret"}
    answer = Asker(facts, f"http://127.0.0.1:{web}").request("GET", "/").json()
    assert answer == {"host": f"127.0.0.1:{web}", "key": "Bearer secret"}


def test_a_tunnel_leaves_nothing_behind(sshd: Sshd, web: int) -> None:
    sshd.start()
    tunnel = Tunnel(sshd.host(), "127.0.0.1", web)
    directory = Path(tunnel.socket).parent
    assert directory.stat().st_mode & 0o077 == 0
    tunnel.close()
    assert not directory.exists()
    until(lambda: not sshd.sessions(), "the connection to end", PATIENCE_S)


def test_a_killed_check_leaves_no_tunnel(sshd: Sshd, web: int) -> None:
    sshd.start()
    program = (
        "import sys, json, time; from host_access.tunnel import Tunnel; from planning.hosts.ssh import SshHost\n"
        "host, port = json.loads(sys.argv[1]); Tunnel(SshHost(**host), '127.0.0.1', port)\n"
        "print('open', flush=True); time.sleep(600)"
    )
    facts = json.dumps([sshd.host().facts(), web])
    process = subprocess.Popen([sys.executable, "-c", program, facts], cwd=REPOSITORY, stdout=subprocess.PIPE)
    assert process.stdout
    assert process.stdout.readline() == b"open\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    until(lambda: not sshd.sessions(), "the connection to end", PATIENCE_S)


def test_a_host_that_forbids_forwarding_is_named_as_the_reason(sshd: Sshd, web: int) -> None:
    sshd.start("AllowTcpForwarding no")
    facts = {"docker_host": sshd.host().facts(), "blame": "no-such-container", "api_key": "secret"}
    with pytest.raises(CheckFailed) as raised:
        Asker(facts, f"http://127.0.0.1:{web}").request("GET", "/")
    assert "administratively prohibited" in raised.value.got


# Ports, and the whole host check


def test_ports_are_looked_at_on_the_host(sshd: Sshd, web: int) -> None:
    sshd.start()
    facts = {"docker_host": sshd.host().facts(), "bind": "127.0.0.1", "gateway_container": "no-such-container"}
    with pytest.raises(CheckFailed) as raised:
        ports({**facts, "ports": [web]})
    assert str(web) in raised.value.got
    assert ports({**facts, "ports": [free_port()]})["ok"] is True


def test_the_host_check_runs_over_ssh_as_the_program_runs_it(sshd: Sshd) -> None:
    sshd.start()
    facts = {
        "docker_host": sshd.host().facts(),
        "prefix": "pageindex-nobody",
        "images": ["nginx:1.30.6"],
        "cards": None,
        "bind": "127.0.0.1",
        "ports": [free_port()],
        "weights": {"directory": "", "bytes": None, "local_path": None},
        "waivers": {"docker-engine": "whatever the tests find"},
    }
    command = [sys.executable, "-m", "checks", "host"]
    done = subprocess.run(
        command, cwd=REPOSITORY, input=json.dumps(facts), capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["ok"] is True
    assert result["engine"]
    assert sshd.logins() == 1
