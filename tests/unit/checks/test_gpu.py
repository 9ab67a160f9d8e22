"""The GPU check against replicas that run as planned, and replicas that do not."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from checks import gpu as module
from checks.gpu import gpu
from host_access.outcome import SeveralFailed
from tests.unit.checks.gpu_hosts import (
    FACTS,
    GB10,
    GB10_PLAN,
    STRANGER_ID,
    TWO_RTX_5090,
    UUIDS,
    VLLM_ID,
    answer,
    process,
)

LOG = """\
(Worker_TP0 pid=302) INFO 11-21 11:42:51 [parallel_state.py:1906] world_size=2 rank=0 local_rank=0 distributed_init_method=tcp://127.0.0.1:41231 backend=nccl
(Worker_TP0 pid=302) INFO 11-21 11:42:52 [pynccl.py:148] vLLM is using nccl==2.28.9
(Worker_TP0 pid=302) INFO 11-21 11:42:53 [parallel_state.py:2350] rank 0 in world size 2 is assigned as DP rank 0, PP rank 0, PCP rank 0, TP rank 0, ETP rank 0, EP rank N/A, EPLB rank N/A
(EngineCore pid=199) INFO 11-21 11:43:20 [kv_cache_utils.py:2327] GPU KV cache size: 118,432 tokens, Maximum concurrency for 32,768 tokens per request: 3.61x
"""  # noqa: E501
BUSY = TWO_RTX_5090.replace("32607, 32106, 2,", "32607, 6000, 26108,")
WORKERS = "".join(process(uuid, 302 + at, 26000, "VLLM::Worker_TP", VLLM_ID) for at, uuid in enumerate(UUIDS))
OURS = f"{VLLM_ID} pageindex-rtx5090-vllm-0\n"


class FakeCommands:
    """A host, and what a replica on it sees and says."""

    def __init__(self, host: str, replica: str):
        self.answers = {"PREFIX=": host, "CONTAINER=": replica}

    def run(self, command: list[str], *, text: str = "", timeout_s: float) -> subprocess.CompletedProcess[str]:
        said = next(said for start, said in self.answers.items() if text.startswith(start))
        return subprocess.CompletedProcess(command, 0, said, "")


class FakeHost:
    def __init__(self, address: object):
        pass

    def last_log_lines(self, name: str) -> list[str]:
        return [f"last words of {name}"]


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Check one replica on two RTX 5090; ``inside`` is what nvidia-smi says in its container."""
    monkeypatch.setattr(module, "DockerHost", FakeHost)
    monkeypatch.setattr(module, "LOOK_AGAIN_S", (0.0,))

    def run(
        facts: dict[str, Any] | None = None,
        *,
        inside: str = BUSY,
        log: str = LOG,
        cuda: str = "13.0.2",
        ended: int = 0,
        **host: Any,
    ) -> dict[str, Any]:
        sections = {"cards": BUSY, "processes": WORKERS, "containers": OURS, **host}
        replica = (
            f"\n@@container\n{VLLM_ID}|true|2026-11-21T11:42:00Z\n\n@@cuda\nCUDA_VERSION={cuda}\n"
            f"\n@@cards\n{inside}exit {ended}\n\n@@log\n{log}"
        )
        monkeypatch.setattr(module, "commands_on", lambda address: FakeCommands(answer(**sections), replica))
        return gpu({**FACTS, **(facts or {})})

    return run


@pytest.fixture
def faults(ask: Any) -> Any:
    """The faults of such a replica, as (expected, got)."""

    def run(facts: dict[str, Any] | None = None, **given: Any) -> list[tuple[str, str]]:
        with pytest.raises(SeveralFailed) as raised:
            ask(facts, **given)
        assert all(fault.do for fault in raised.value.faults)
        return [(fault.expected, fault.got) for fault in raised.value.faults]

    return run


def verdicts(result: dict[str, Any], what: str) -> list[str]:
    return [row["verdict"] for row in result["rows"] if row["what"] == what]


def test_a_replica_as_planned_passes_with_a_row_for_everything(ask: Any) -> None:
    result = ask()
    assert result["ok"] is True
    assert {row["what"] for row in result["rows"]} == {
        "cards", "name", "memory", "compute capability", "driver", "CUDA", "temperature", "power", "others on it",
        "computes on", "NCCL", "KV tokens",
    }  # fmt: skip
    assert {row["verdict"] for row in result["rows"]} == {"ok"}
    assert result["warnings"] == []


def test_the_table_is_for_readers_and_the_rows_for_programs(ask: Any) -> None:
    result = ask()
    lines = result["table"].splitlines()
    assert lines[0].split() == ["replica", "card", "what", "expected", "got"]
    assert len(lines) == 1 + len(result["rows"])
    assert any("118,432 (-1.3%)" in line for line in lines)


# Cards


def test_a_replica_that_sees_a_card_too_many_fails(ask: Any, faults: Any) -> None:
    one = [{"container": "pageindex-rtx5090-vllm-0", "cards": [0], "kv_tokens": None}]
    found = faults({"replicas": one}, processes=process(UUIDS[0], 302, 26000, "VLLM::EngineCore", VLLM_ID))
    assert found == [("vllm-0: cards 0 (GPU-1f0c9d52)", "0 (GPU-1f0c9d52), 1 (GPU-2a9bb0d5)")]


def test_a_replica_that_sees_a_card_too_few_fails(faults: Any) -> None:
    expected, got = faults(inside=BUSY.splitlines(keepends=True)[0])[0]
    assert expected.startswith("vllm-0: cards 0")
    assert got == "0 (GPU-1f0c9d52)"


def test_the_right_number_of_the_wrong_cards_fails(faults: Any) -> None:
    other = [{"container": "pageindex-rtx5090-vllm-0", "cards": [1], "kv_tokens": None}]
    inside = BUSY.splitlines(keepends=True)[0]
    found = faults({"replicas": other}, inside=inside)
    assert found[0] == ("vllm-0: cards 1 (GPU-2a9bb0d5)", "0 (GPU-1f0c9d52)")


def test_a_container_without_nvidia_smi_fails_with_what_docker_said(faults: Any) -> None:
    said = 'OCI runtime exec failed: exec: "nvidia-smi": executable file not found in $PATH\n'
    assert "executable file not found" in faults(inside=said, ended=127)[0][1]


def test_a_hot_card_fails_with_its_temperature(faults: Any) -> None:
    hot = BUSY.replace("580.95.05, 33", "580.95.05, 91")
    assert faults(cards=hot, inside=hot) == [("vllm-0, card 1: temperature < 85 °C", "91 °C")]


def test_a_card_above_its_power_limit_fails(faults: Any) -> None:
    [(expected, got)] = faults(cards=BUSY.replace("13.90, 575", "640.10, 575"))
    assert (expected, got) == ("vllm-0, card 1: power ≤ 575 W", "640 W")


def test_less_memory_than_planned_fails(faults: Any) -> None:
    less = BUSY.replace("5090, 32607", "5090, 24564")
    assert [got for _, got in faults(cards=less, inside=less)] == ["24564 MiB", "24564 MiB"]


# Others, and who computes


def test_a_stranger_on_the_card_fails_by_name(faults: Any) -> None:
    processes = WORKERS + process(UUIDS[1], 4242, 900, "/usr/bin/ollama", STRANGER_ID)
    assert faults(processes=processes) == [("vllm-0, card 1: others on it nobody", "/usr/bin/ollama (pid 4242)")]


def test_a_stranger_that_the_plan_knows_of_is_a_note(ask: Any) -> None:
    processes = WORKERS + process(UUIDS[1], 4242, 900, "/usr/bin/Xorg")
    result = ask({"shared_cards": True}, processes=processes)
    assert result["warnings"] == ["vllm-0, card 1: others on it: /usr/bin/Xorg (pid 4242)"]


def test_another_replica_on_the_card_is_a_stranger(faults: Any) -> None:
    processes = WORKERS + process(UUIDS[1], 512, 9000, "VLLM::Worker", STRANGER_ID)
    containers = f"{OURS}{STRANGER_ID} pageindex-rtx5090-vllm-1\n"
    assert faults(processes=processes, containers=containers)[0][1] == "VLLM::Worker (pid 512)"


def test_a_card_that_nothing_of_the_replica_computes_on_fails(faults: Any) -> None:
    processes = process(UUIDS[0], 302, 26000, "VLLM::Worker", VLLM_ID)
    assert faults(processes=processes) == [("vllm-0: computes on all its cards", "not on [1]")]


def test_a_driver_that_lists_no_processes_is_a_note_while_the_cards_are_in_use(ask: Any, faults: Any) -> None:
    assert verdicts(ask(processes=""), "computes on") == ["note"]
    assert faults(processes="", cards=TWO_RTX_5090) == [("vllm-0: computes on all its cards", "not on [0, 1]")]


# NCCL


def test_a_world_of_another_size_fails(faults: Any) -> None:
    alone = LOG.replace("world_size=2", "world_size=1").replace("world size 2", "world size 1")
    [(expected, got)] = faults(log=alone)
    assert expected == "vllm-0: NCCL world size 2, nccl, no errors"
    assert got == "world size 1 nccl 2.28.9"


def test_a_complaint_of_nccl_is_a_note_because_the_replica_has_answered(ask: Any) -> None:
    result = ask(log=LOG + "vllm-0:302:380 [0] transport/p2p.cc:275 NCCL WARN Cuda failure 'peer access'\n")
    assert verdicts(result, "NCCL") == ["note"]
    assert "peer access" in result["warnings"][0]


def test_a_silent_log_is_a_note(ask: Any) -> None:
    result = ask(log="")
    assert verdicts(result, "NCCL") == ["note"]
    assert verdicts(result, "KV tokens") == ["note"]


def test_custom_all_reduce_that_is_off_is_told(ask: Any) -> None:
    line = "WARNING [custom_all_reduce.py:286] Custom allreduce is disabled because your platform lacks GPU P2P capability or P2P test failed.\n"  # noqa: E501
    assert "lacks GPU P2P" in ask(log=LOG + line)["warnings"][0]


def test_one_card_needs_no_nccl(ask: Any) -> None:
    one = [{"container": "pageindex-single-gpu-vllm-0", "cards": [0], "kv_tokens": None}]
    first = BUSY.splitlines(keepends=True)[0]
    result = ask({"replicas": one}, inside=first, processes=process(UUIDS[0], 302, 26000, "VLLM", VLLM_ID))
    assert verdicts(result, "NCCL") == []


# KV cache


@pytest.mark.parametrize(
    ("tokens", "verdict"), [("118,432", "ok"), ("108,001", "ok"), ("131,900", "ok"), ("150,000", "note")]
)
def test_kv_tokens_near_the_plan_pass_and_more_are_a_note(ask: Any, tokens: str, verdict: str) -> None:
    assert verdicts(ask(log=LOG.replace("118,432", tokens)), "KV tokens") == [verdict]


def test_far_fewer_kv_tokens_than_planned_fail(faults: Any) -> None:
    [(expected, got)] = faults(log=LOG.replace("118,432", "81,920"))
    assert expected == "vllm-0: KV tokens 120,000 ± 10%"
    assert got == "81,920 (-31.7%)"


def test_a_cache_on_the_cpu_is_told_apart(ask: Any) -> None:
    result = ask(log=LOG.replace("GPU KV cache", "CPU KV cache"))
    assert result["warnings"] == ["vllm-0: KV tokens: a cache on the CPU: 118,432"]


def test_the_last_start_counts(ask: Any) -> None:
    assert "118,432" in ask(log=LOG.replace("118,432", "10") + LOG)["table"]


# GB10


def test_a_gb10_reports_neither_memory_nor_power_limit_and_passes(ask: Any) -> None:
    facts = {
        "cards": GB10_PLAN, "vllm_image": "nvcr.io/nvidia/vllm:26.10-py3",
        "replicas": [{"container": "pageindex-gb10-vllm-0", "cards": [0], "kv_tokens": None}],
    }  # fmt: skip
    processes = process(UUIDS[0], 302, 81234, "VLLM::EngineCore", VLLM_ID)
    result = ask(facts, cards=GB10, inside=GB10, processes=processes, memory_gib=119.7, cuda="13.4.3")
    rows = {row["what"]: row["got"] for row in result["rows"]}
    assert rows["memory"] == "122573 MiB shared with the system"
    assert rows["power"] == "3 W"
    assert result["warnings"] == []


def test_a_failure_carries_the_table_and_the_replicas_last_words(ask: Any) -> None:
    with pytest.raises(SeveralFailed) as raised:
        ask(inside=BUSY.splitlines(keepends=True)[0])
    report = raised.value.report()
    assert "FAULT" in report
    assert "last words of pageindex-rtx5090-vllm-0" in report


def test_what_is_gone_at_a_second_look_is_no_fault(ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []

    def judge(*given: Any) -> list[module.Row]:
        looks.append(1)
        verdict = "FAULT" if len(looks) == 1 else "ok"
        return [module.Row(replica="vllm-0", what="temperature", expected="", got="", verdict=verdict)]

    monkeypatch.setattr(module, "judge", judge)
    assert ask()["ok"] is True
    assert len(looks) == 2
