"""A small Python program on the real engine: our language host and command plugin, a real shell, a real sshd.

Takes over 60 s because a whole life of a program is run by the real engine.
"""

from __future__ import annotations

import getpass
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from quickstart.environment import environment
from tests.integration.pulumi_project import free_port

pytestmark = pytest.mark.integration

SSHD = Path("/usr/sbin/sshd")
DEADLINE_S = 60
SECRET = "a-secret-that-must-not-show"
PROGRAM = """
import json
import pulumi
from pulumi_command import local, remote

settings = json.load(open("settings.json"))
order = settings["order"]
here = local.Command(
    "here",
    create=f"echo create here >> {order}; echo working on it; cat > made.txt; touch made.skip; echo $GREETING",
    update="echo updated after $PULUMI_COMMAND_STDOUT",
    delete=f"echo delete here >> {order}",
    stdin=pulumi.Output.secret(settings["secret"]),
    dir=settings["work"],
    environment={"GREETING": settings["greeting"]},
    asset_paths=["made.*", "!*.skip"],
    archive_paths=["made.*"],
    triggers=[settings["trigger"]],
)
connection = remote.ConnectionArgs(
    host="127.0.0.1", port=settings["port"], user=settings["user"],
    private_key=open(settings["key"]).read(), host_key=settings["host_key"],
)
there = remote.Command(
    "there",
    connection=connection,
    create=f"echo create there >> {order}; echo $SSH_CONNECTION | cut -d' ' -f4; cat",
    delete=f"echo delete there >> {order}",
    stdin=here.stdout,
    opts=pulumi.ResourceOptions(depends_on=[here]),
)
copied = remote.CopyToRemote(
    "copied", connection=connection, source=pulumi.FileArchive(settings["tree"]), remote_path=settings["copy"],
)
pulumi.export("here", here.stdout)
pulumi.export("there", there.stdout)
pulumi.export("assets", here.assets.apply(lambda assets: sorted(assets)))
pulumi.export("run", local.run_output(command="echo always").stdout)
"""


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, object]]:
    """An SSH server on a loopback port that lets this user in with a key made for it."""
    if not SSHD.exists():
        pytest.fail("this test needs a real SSH server: apt-get install -y openssh-server")
    folder, port = tmp_path_factory.mktemp("sshd"), free_port()
    for name in ("host", "client"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # Debian's service makes it at each start
    options = {
        "Port": port, "ListenAddress": "127.0.0.1", "HostKey": folder / "host", "PidFile": "none",
        "AuthorizedKeysFile": folder / "client.pub", "StrictModes": "no", "UsePAM": "no",
        "PermitRootLogin": "prohibit-password", "PasswordAuthentication": "no", "Subsystem": "sftp internal-sftp",
    }  # fmt: skip
    (folder / "config").write_text("".join(f"{key} {value}\n" for key, value in options.items()))
    server = subprocess.Popen([SSHD, "-D", "-E", folder / "log", "-f", folder / "config"])
    try:
        yield {
            "port": port,
            "user": getpass.getuser(),
            "key": str(folder / "client"),
            "host_key": (folder / "host.pub").read_text(),
        }
    finally:
        server.terminate()
        server.wait(DEADLINE_S)


class TinyProject:
    """One program in a folder of its own, with its own state."""

    def __init__(self, folder: Path, program: str, settings: dict[str, object]):
        self.folder = folder
        for name in ("work", "state", "tree/sub"):
            (folder / name).mkdir(parents=True)
        (folder / "tree/sub/file").write_text("copied")
        (folder / "Pulumi.yaml").write_text("name: tiny\nruntime: python\n")
        (folder / "__main__.py").write_text(program)
        self.settings = {
            "order": str(folder / "order"), "work": str(folder / "work"), "tree": str(folder / "tree"),
            "copy": str(folder / "copy"), "greeting": "hello", "trigger": 1, "secret": SECRET, **settings,
        }  # fmt: skip
        self.environment = {
            **environment(),
            "PULUMI_BACKEND_URL": f"file://{folder / 'state'}",
            "PULUMI_CONFIG_PASSPHRASE": "only-for-tests",
        }
        self.environment.pop("PULUMI_CONFIG_PASSPHRASE_FILE", None)
        self.change()
        self.pulumi("stack", "init", "test")

    def change(self, **settings: object) -> None:
        self.settings.update(settings)
        (self.folder / "settings.json").write_text(json.dumps(self.settings))

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["pulumi", *arguments, "--non-interactive", "--color", "never"],
            cwd=self.folder, env=self.environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def pulumi(self, *arguments: str) -> str:
        process = self.start(*arguments)
        printed, _ = process.communicate(timeout=DEADLINE_S)
        assert process.returncode == 0, f"pulumi {' '.join(arguments)}\n{printed}"
        return printed

    def up(self) -> str:
        return self.pulumi("up", "--yes", "--skip-preview", "--stack", "test")

    def outputs(self) -> dict[str, object]:
        found: dict[str, object] = json.loads(self.pulumi("stack", "output", "--json", "--stack", "test"))
        return found

    def order(self) -> list[str]:
        path = self.folder / "order"
        return path.read_text().splitlines() if path.exists() else []


def eventually(what: str, holds: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < end, f"not within {DEADLINE_S} s: {what}"
        time.sleep(0.05)


def test_a_program_lives_its_life_on_this_toolchain(sshd: dict[str, object], tmp_path: Path) -> None:
    assert shutil.which("pulumi", path=environment()["PATH"])
    project = TinyProject(tmp_path, PROGRAM, sshd)
    try:
        project.pulumi("preview", "--stack", "test")
        assert project.order() == [], "a preview ran a command"

        printed = project.up()
        assert "working on it" in printed, "the command's output isn't streamed"
        assert project.order() == ["create here", "create there"]
        greeted = "working on it\nhello"
        assert project.outputs() == {
            "here": greeted,
            "there": f"{sshd['port']}\n{greeted}",
            "assets": ["made.txt"],
            "run": "always",
        }
        assert (tmp_path / "work/made.txt").read_text() == SECRET
        assert (tmp_path / "copy/tree/sub/file").read_text() == "copied"
        state = project.pulumi("stack", "export", "--stack", "test")
        assert SECRET not in state
        assert "PRIVATE KEY" not in state
        assert SECRET not in printed

        project.pulumi("preview", "--expect-no-changes", "--stack", "test")

        project.change(greeting="good day")
        project.up()
        assert project.outputs()["here"] == f"updated after {greeted.replace(chr(10), ' ')}"
        # The other one has no update of its own, and its input changed: it runs create again.
        assert project.order() == ["create here", "create there", "create there"]

        project.change(trigger=2)
        project.up()
        assert project.order()[3:] == ["create here", "create there", "delete here"], "a trigger replaces"
        project.pulumi("preview", "--expect-no-changes", "--stack", "test")
    finally:
        project.pulumi("destroy", "--yes", "--skip-preview", "--stack", "test")
    assert project.order()[-2:] == ["delete there", "delete here"], "what depends on it goes first"


def test_a_failing_command_fails_the_up_with_its_status_and_its_words(tmp_path: Path) -> None:
    program = 'from pulumi_command import local\nlocal.Command("bad", create="echo the reason >&2; exit 7")\n'
    project = TinyProject(tmp_path, program, {})
    process = project.start("up", "--yes", "--skip-preview", "--stack", "test")
    printed, _ = process.communicate(timeout=DEADLINE_S)
    assert process.returncode != 0
    assert "exit status 7: running" in printed
    assert "the reason" in printed
    project.pulumi("destroy", "--yes", "--skip-preview", "--stack", "test")


def test_ctrl_c_stops_the_command_and_what_it_started(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    create = f"sleep 600 & echo $! $$ > {pids}.new; mv {pids}.new {pids}; wait"
    program = f"from pulumi_command import local\nlocal.Command('long', create={create!r})\n"
    process = TinyProject(tmp_path, program, {}).start("up", "--yes", "--skip-preview", "--stack", "test")
    try:
        eventually("the command runs", pids.exists)
        process.send_signal(signal.SIGINT)
        printed, _ = process.communicate(timeout=DEADLINE_S)
    finally:
        process.kill()
    assert process.returncode != 0, printed
    for pid in pids.read_text().split():
        eventually(f"process {pid} is gone", lambda pid=pid: not running(pid))  # type: ignore[misc]


def running(pid: str) -> bool:
    """Zombies don't count: who inherits an orphan may take its time to collect it."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
