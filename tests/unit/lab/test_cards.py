"""The simulated cards: what the stand-in nvidia-smi says of them, asked the way that checks ask."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from lab import cards
from lab.cards import Faults
from machine.console import StepFailed

STAND_INS = Path(cards.__file__).with_name("gpu_host")
FIELDS = "index,uuid,name,memory.total,memory.used,memory.free,compute_cap,driver_version,temperature.gpu,power.draw"


class Machine:
    """A directory as the host has it at /usr/lib/nvidia-simulated, and the program in it."""

    def __init__(self, directory: Path):
        self.directory = directory
        for name in ("nvidia-smi", "nvidia-smi.awk"):
            text = (STAND_INS / name).read_text()
            (directory / name).write_text(text.replace("/usr/lib/nvidia-simulated", str(directory)))

    def ask(self, *question: str, visible: str | None = None, code: int = 0) -> str:
        environment = {"PATH": os.environ["PATH"], "NVIDIA_SMI_REGISTER": str(self.directory / "register")}
        environment["NVIDIA_SMI_PROC"] = str(self.directory / "proc")
        if visible is not None:
            environment["NVIDIA_SMI_VISIBLE"] = visible
        command = ["sh", self.directory / "nvidia-smi", *question]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (code, ""), done.stdout + done.stderr
        return done.stdout

    def shows_cards(self, container: str, cards: str) -> None:
        register = self.directory / "register" / container
        register.mkdir(parents=True)
        (register / "visible").write_text(f"{cards}\n")

    def process(self, pid: int, name: str, command: list[str], container: str) -> None:
        """As /proc shows it."""
        directory = self.directory / "proc" / str(pid)
        directory.mkdir(parents=True)
        (directory / "comm").write_text(f"{name}\n")
        (directory / "cmdline").write_bytes(b"\0".join(word.encode() for word in command) + b"\0")
        (directory / "cgroup").write_text(f"9:memory:/docker/{container}\n0::/system.slice/docker-{container}.scope\n")

    def rows(self, fields: str, visible: str | None = None) -> list[list[str]]:
        said = self.ask(f"--query-gpu={fields}", "--format=csv,noheader,nounits", visible=visible)
        return [line.split(", ") for line in said.splitlines()]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_two_cards_are_described_field_by_field(machine: Machine) -> None:
    cards.write(machine.directory, "rtx5090x2")
    first, second = machine.rows(FIELDS)
    uuid = cards.card_uuid("rtx5090x2", 0)
    assert first == ["0", uuid, "NVIDIA GeForce RTX 5090", "32607", "2", "32111", "12.0", "580.95.05", "34", "14.20"]
    assert second[0] == "1"
    assert second[1] != uuid


def test_units_and_a_header_come_unless_they_are_declined(machine: Machine) -> None:
    cards.write(machine.directory, "single24")
    said = machine.ask("--query-gpu=name,memory.total,power.limit", "--format=csv").splitlines()
    assert said == ["name, memory.total [MiB], power.limit [W]", "NVIDIA GeForce RTX 4090, 24564 MiB, 450.00 W"]


def test_a_container_numbers_its_own_cards_from_zero(machine: Machine) -> None:
    cards.write(machine.directory, "rtx5090x2")
    assert machine.rows("index,uuid", visible="1") == [["0", cards.card_uuid("rtx5090x2", 1)]]
    assert len(machine.rows("index", visible="0,1")) == 2
    assert machine.ask("-L", visible="", code=6) == "No devices were found\n"


def test_one_card_can_be_picked_by_index_or_uuid(machine: Machine) -> None:
    cards.write(machine.directory, "rtx5090x2")
    uuid = cards.card_uuid("rtx5090x2", 1)
    for wanted in ("1", uuid):
        assert machine.ask("-L", "-i", wanted) == f"GPU 1: NVIDIA GeForce RTX 5090 (UUID: {uuid})\n"


def test_unified_memory_has_no_total(machine: Machine) -> None:
    cards.write(machine.directory, "gb10")
    assert machine.rows("name,memory.total,memory.used,memory.free,power.limit,compute_cap") == [
        ["NVIDIA GB10", "[N/A]", "[N/A]", "[N/A]", "[N/A]", "12.1"]
    ]
    assert "Not Supported" in machine.ask()


def test_unified_memory_is_the_machines_and_nobody_elses_is_touched() -> None:
    real = "MemTotal:       24681234 kB\nMemFree:         1000 kB\nMemAvailable:    2000 kB\nBuffers:   7 kB\n"
    shown = cards.meminfo("gb10", real)
    assert shown is not None
    total_kib = int(shown.splitlines()[0].split()[1])
    assert 119 * 2**20 < total_kib < 121 * 2**20
    assert shown.splitlines()[3] == "Buffers:   7 kB"
    assert cards.meminfo("rtx5090x2", real) is None


@pytest.mark.parametrize(
    ("profile", "words"),
    [
        ("rtx5090x2", "Driver Version: 580.95.05      CUDA Version: 13.0"),
        ("single24-old-driver", "Driver Version: 570.195.03     CUDA Version: 12.8"),
        ("single24-new-driver", "KMD Version: 610.57.04      CUDA UMD Version: 13.3"),
    ],
)
def test_the_table_names_driver_and_cuda(machine: Machine, profile: str, words: str) -> None:
    cards.write(machine.directory, profile)
    lines = machine.ask().splitlines()
    assert words in lines[2]
    assert {len(line) for line in lines if line.startswith(("|", "+"))} == {91}, "as wide as the real one"


def test_without_a_driver_it_fails_as_the_real_one_does(machine: Machine) -> None:
    cards.write(machine.directory, "none")
    assert "couldn't communicate with the NVIDIA driver" in machine.ask(code=9)


def test_faults_show_where_they_would(machine: Machine) -> None:
    cards.write(machine.directory, "rtx5090x2", Faults(foreign_mib={1: 9000}, celsius={0: 91}))
    assert machine.rows("temperature.gpu,memory.used") == [["91", "2"], ["34", "9002"]]
    apps = ("--query-compute-apps=pid,used_memory,gpu_uuid", "--format=csv,noheader,nounits")
    assert machine.ask(*apps) == f"4243, 9000, {cards.card_uuid('rtx5090x2', 1)}\n"
    assert machine.ask(*apps, visible="1") == "", "process ids of the host are not a container's"
    assert "/usr/bin/python3" in machine.ask()


def test_a_vllm_fills_its_cards_as_far_as_its_command_line_says(machine: Machine) -> None:
    cards.write(machine.directory, "rtx5090x2")
    serve = ["python3", "vllm", "serve", "/models/x", "--gpu-memory-utilization", "0.50"]
    machine.process(10, "python3", serve, "abc")
    machine.process(12, "VLLM::EngineCor", ["VLLM::EngineCore"], "abc")
    machine.process(13, "VLLM::EngineCor", ["VLLM::EngineCore"], "another without cards")
    machine.shows_cards("abc", "1")
    half_mib = (32607 - 494) // 2
    apps = ("--query-compute-apps=pid,process_name,used_memory,gpu_uuid", "--format=csv,noheader,nounits")
    assert machine.ask(*apps) == f"12, VLLM::EngineCore, {half_mib}, {cards.card_uuid('rtx5090x2', 1)}\n"
    assert machine.rows("memory.used") == [["2"], [str(2 + half_mib)]]
    assert {len(line) for line in machine.ask().splitlines() if line.startswith(("|", "+"))} == {91}


def test_workers_compute_where_vllm_has_them_and_the_engine_above_them_does_not(machine: Machine) -> None:
    cards.write(machine.directory, "rtx5090x2")
    machine.process(12, "VLLM::EngineCor", ["VLLM::EngineCore"], "abc")
    machine.process(13, "VLLM::Worker_TP", ["VLLM::Worker_TP"], "abc")
    machine.shows_cards("abc", "0,1")
    apps = ("--query-compute-apps=pid,process_name", "--format=csv,noheader")
    assert machine.ask(*apps) == "13, VLLM::Worker_TP\n" * 2


def test_a_process_that_ends_meanwhile_hides_no_other(machine: Machine) -> None:
    cards.write(machine.directory, "single24")
    machine.process(12, "VLLM::EngineCor", ["VLLM::EngineCore"], "abc")
    machine.shows_cards("abc", "0")
    gone = machine.directory / "proc" / "13" / "cgroup"
    gone.parent.mkdir()
    gone.symlink_to("nowhere")  # listed, but no longer there to be read
    assert machine.ask("--query-compute-apps=pid", "--format=csv,noheader") == "12\n"


def test_a_missing_card_is_not_counted(machine: Machine) -> None:
    cards.write(machine.directory, "rtx5090x2", Faults(missing=[0]))
    assert machine.rows("index,uuid") == [["0", cards.card_uuid("rtx5090x2", 1)]]


def test_the_topology_is_a_square(machine: Machine) -> None:
    cards.write(machine.directory, "rtx5090x2")
    said = machine.ask("topo", "-m").splitlines()
    assert [line.split()[:3] for line in said[1:3]] == [["GPU0", "X", "PHB"], ["GPU1", "PHB", "X"]]


@pytest.mark.parametrize(
    ("question", "code", "words"),
    [
        (["--query-gpu=nonsense", "--format=csv"], 2, 'Field "nonsense" is not a valid field to query.'),
        (["--query-gpu=name"], 1, "Invalid combination of input arguments"),
        (["--no-such-option"], 1, "Invalid combination of input arguments"),
    ],
)
def test_a_wrong_question_is_refused(machine: Machine, question: list[str], code: int, words: str) -> None:
    cards.write(machine.directory, "single24")
    assert words in machine.ask(*question, code=code)


def test_an_unknown_machine_is_refused_with_those_there_are() -> None:
    with pytest.raises(StepFailed, match="no such GPU host: rtx6090") as failure:
        cards.render("rtx6090")
    assert "rtx5090x2|single24|" in failure.value.mend


def lowered(config: str, tmp_path: Path) -> str:
    """What the wrapper of runc makes of a container's configuration, with a runc that does nothing."""
    (tmp_path / "config.json").write_text(config)
    text = (STAND_INS / "runc").read_text().replace("'/usr/sbin/runc'", "'/bin/true'")
    text = text.replace("/var/log/lowered-limits.log", str(tmp_path / "log"))
    program = tmp_path / "nvidia-container-runtime"
    program.write_text(text)
    command = ["perl", str(program), "create", "--bundle", str(tmp_path), "container-1"]
    limited = ["prlimit", "--nofile=1000:1000", *command]
    # Without the right to raise limits, as in the sandboxes that this is for.
    subprocess.run(["setpriv", "--bounding-set=-sys_resource", *limited], check=True, capture_output=True)
    return (tmp_path / "config.json").read_text()


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("setpriv") is None, reason="drops a capability")
def test_limits_that_this_machine_cannot_grant_are_lowered_and_others_kept(tmp_path: Path) -> None:
    before = (
        '{"process":{"env":["NVIDIA_VISIBLE_DEVICES=0"],"rlimits":[{"type":"RLIMIT_NOFILE","hard":4000,"soft":2000},'
        '{"type":"RLIMIT_CORE","hard":0,"soft":0}]},"hooks":{"prestart":[{"path":"/first"}]}}'
    )
    after = lowered(before, tmp_path)
    assert '{"type":"RLIMIT_NOFILE","hard":1000,"soft":1000},{"type":"RLIMIT_CORE","hard":0,"soft":0}' in after
    assert '"prestart":[{"path":"/usr/bin/nvidia-container-runtime-hook"' in after
    assert "container container-1: RLIMIT_NOFILE 4000 is more" in (tmp_path / "log").read_text()
