"""The host check against hosts that can run the stack, and hosts that cannot.

This file is longer than most because a host can lack many things, and each is a test of a few lines.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from typing import Any

import pytest

from checks import host as module
from checks.cards import image_cuda, needed_driver
from checks.host import as_version, host
from checks.host_facts import read_facts
from host_access.outcome import CheckFailed, SeveralFailed
from tests.unit.checks.gpu_hosts import (
    FACTS,
    GB10,
    GB10_PLAN,
    RTX_5090,
    STRANGER_ID,
    TWO_RTX_5090,
    UUIDS,
    VLLM_ID,
    answer,
    process,
)


class FakeCommands:
    """A host with one answer to every script."""

    def __init__(self, text: str):
        self.text = text
        self.scripts: list[str] = []

    def run(self, command: list[str], *, text: str = "", timeout_s: float) -> subprocess.CompletedProcess[str]:
        self.scripts.append(text)
        return subprocess.CompletedProcess(command, 0, self.text, "")


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Check a host whose answer has these sections against the plan of two RTX 5090."""

    def run(facts: dict[str, Any] | None = None, **sections: Any) -> dict[str, Any]:
        commands = FakeCommands(answer(**sections))
        monkeypatch.setattr(module, "commands_on", lambda address: commands)
        return host({**FACTS, **(facts or {})})

    return run


@pytest.fixture
def faults(ask: Any) -> Any:
    """What is wrong with such a host: (expected, got, do) of each fault."""

    def run(facts: dict[str, Any] | None = None, **sections: Any) -> list[tuple[str, str, str]]:
        with pytest.raises(SeveralFailed) as raised:
            ask(facts, **sections)
        return [(fault.expected, fault.got, fault.do) for fault in raised.value.faults]

    return run


def test_a_host_as_planned_passes(ask: Any) -> None:
    result = ask()
    assert result["ok"] is True
    assert result["driver"] == "580.95.05"
    assert result["warnings"] == []


def test_one_round_trip_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    commands = FakeCommands(answer())
    monkeypatch.setattr(module, "commands_on", lambda address: commands)
    host(FACTS)
    assert len(commands.scripts) == 1
    assert "PREFIX=pageindex-rtx5090" in commands.scripts[0]


def test_everything_that_is_wrong_is_said_at_once(faults: Any) -> None:
    found = faults(
        info={"ServerVersion": "20.10.24+dfsg1", "Runtimes": {"runc": {}}}, toolkit="", disk_gib=5, ports=(8000,),
        cards=RTX_5090.format(*UUIDS).replace("580.95", "570.86").replace("32106", "100"),
    )  # fmt: skip
    text = "\n".join(expected for expected, _, _ in found)
    for word in (
        "Docker Engine 25.0.5",
        "2 cards",
        "driver 580",
        "hand cards",
        "MiB free on card 0",
        "GiB free",
        "ports",
    ):
        assert word in text
    assert all(do for _, _, do in found)


def test_the_report_numbers_several_faults() -> None:
    failure = SeveralFailed([module.Fault("a", "b", "c"), module.Fault("d", "e", "f")])
    assert failure.report().splitlines()[3].startswith("2. expected: d")


# Docker


def test_a_daemon_that_refuses_the_user_is_told_apart_from_one_that_is_down(faults: Any) -> None:
    denied = json.dumps({"ServerErrors": ["permission denied while trying to connect to the Docker daemon socket"]})
    [(_, _, do)] = faults(docker=denied + "\n")
    assert "usermod -aG docker" in do
    [(_, _, do)] = faults(docker="sh: 1: docker: not found\n")
    assert "engine/install" in do


def test_an_old_engine_is_refused_with_the_reason_and_can_be_waived(
    ask: Any, faults: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    [(expected, got, _)] = faults(info={"ServerVersion": "24.0.9"})
    assert "25.0.5" in expected
    assert "private network has a way out" in got
    monkeypatch.setattr(module, "DOCKER_REFUSED", replace(module.DOCKER_REFUSED, waiver="docker-engine"))
    result = ask({"waivers": {"docker-engine": "a test without secrets"}}, info={"ServerVersion": "24.0.9"})
    assert len(result["warnings"]) == 1


def test_an_engine_between_the_floors_is_a_warning(ask: Any) -> None:
    assert "older than 28.3.3" in ask(info={"ServerVersion": "27.5.1-rd"})["warnings"][0]


@pytest.mark.parametrize(
    ("text", "version"),
    [("28.5.2+dfsg4", (28, 5, 2)), ("27.3", (27, 3, 0)), ("20.10.24~ds1", (20, 10, 24)), ("", (0, 0, 0))],
)
def test_versions_are_read_in_whatever_form(text: str, version: tuple[int, int, int]) -> None:
    assert as_version(text) == version


@pytest.mark.parametrize(
    "sections",
    [
        {"toolkit": "/usr/bin/nvidia-container-runtime-hook\n", "info": {"Runtimes": {"runc": {}}}},
        {"toolkit": "/var/run/cdi/nvidia.yaml\n", "info": {"Runtimes": {"runc": {}}}},
        {"toolkit": "", "info": {"Runtimes": {}, "DiscoveredDevices": [{"ID": "nvidia.com/gpu=0"}]}},
        {"toolkit": ""},
    ],
)
def test_each_way_in_which_docker_hands_out_cards_is_enough(ask: Any, sections: dict[str, Any]) -> None:
    assert ask(**sections)["ok"] is True


def test_a_docker_without_any_of_them_is_a_fault(faults: Any) -> None:
    [(_, _, do)] = faults(toolkit="/usr/bin/nvidia-ctk\n", info={"Runtimes": {"runc": {}}})
    assert "nvidia-ctk runtime configure" in do


# Cards


def test_a_host_without_a_driver_says_what_nvidia_smi_said(faults: Any) -> None:
    [(expected, got, _)] = faults(cards="sh: 52: nvidia-smi: not found\n", cards_ended=127)
    assert expected == "2 × NVIDIA GeForce RTX 5090"
    assert "nvidia-smi: not found" in got


def test_a_driver_that_does_not_answer_is_no_host_without_cards(faults: Any) -> None:
    said = "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n"
    [(_, got, _)] = faults(cards=said, cards_ended=9, processes=said.strip() + "\t\n")
    assert "couldn't communicate" in got


def test_a_missing_card_is_named_by_number(faults: Any) -> None:
    [(expected, got, do)] = faults(cards=RTX_5090.format(*UUIDS))
    assert (expected, got) == ("2 cards", "1 (0: NVIDIA GeForce RTX 5090)")
    assert do.endswith("host.gpus.count 1")


def test_another_card_is_named(faults: Any) -> None:
    [(expected, got, do)] = faults(cards=TWO_RTX_5090.replace("1, " + UUIDS[1] + ", NVIDIA GeForce RTX 5090", "1, " + UUIDS[1] + ", NVIDIA GeForce RTX 4090"))  # fmt: skip  # noqa: E501
    assert expected == "card 1 to be NVIDIA GeForce RTX 5090"
    assert got == "NVIDIA GeForce RTX 4090"
    assert 'host.gpus.name "NVIDIA GeForce RTX 4090"' in do


def test_less_memory_than_planned_is_a_fault_and_a_little_less_is_not(ask: Any, faults: Any) -> None:
    [(_, got, _)] = faults({"replicas": [{"cards": [1]}]}, cards=TWO_RTX_5090.replace("5090, 32607", "5090, 24564"))
    assert got == "24564 MiB"
    assert ask(cards=TWO_RTX_5090.replace("5090, 32607", "5090, 32100"))["ok"] is True


def test_another_compute_capability_than_planned_is_a_fault(faults: Any) -> None:
    found = faults(cards=TWO_RTX_5090.replace("12.0, 580", "8.9, 580"))
    assert [expected for expected, _, _ in found] == ["compute capability 12.0 of card 0", "compute capability 12.0 of card 1"]  # fmt: skip  # noqa: E501


def test_a_card_that_no_replica_uses_may_be_full(ask: Any) -> None:
    full = TWO_RTX_5090.replace("1, " + UUIDS[1] + ", NVIDIA GeForce RTX 5090, 32607, 32106", "1, " + UUIDS[1] + ", NVIDIA GeForce RTX 5090, 32607, 10")  # fmt: skip  # noqa: E501
    assert ask({"replicas": [{"cards": [0]}]}, cards=full)["ok"] is True


def test_a_card_that_is_taken_is_a_fault_with_who_has_it_and_what_could_be_had(faults: Any) -> None:
    full = TWO_RTX_5090.replace("32607, 32106, 2, 12.0, 580.95.05, 34", "32607, 20000, 12108, 12.0, 580.95.05, 34")
    [(expected, got, do)] = faults(cards=full, processes=process(UUIDS[0], 4242, 12106, "/usr/bin/ollama"))
    assert expected == "25674 MiB free on card 0: 0.8 of its memory"
    assert got == "20000 MiB; others: /usr/bin/ollama (pid 4242, 12106 MiB)"
    assert "vllm.gpu_memory_utilization 0.62" in do


def test_memory_that_this_stack_holds_itself_counts_as_free(ask: Any) -> None:
    full = TWO_RTX_5090.replace("32607, 32106, 2,", "32607, 6000, 26108,")
    mine = "".join(process(uuid, 7 + at, 26000, "VLLM::Worker", VLLM_ID) for at, uuid in enumerate(UUIDS))
    assert ask(cards=full, processes=mine, containers=f"{VLLM_ID} pageindex-rtx5090-vllm-0\n")["warnings"] == []


def test_memory_that_another_stack_holds_does_not(faults: Any) -> None:
    full = TWO_RTX_5090.replace("32607, 32106, 2,", "32607, 6000, 26108,")
    theirs = process(UUIDS[0], 7, 26000, "VLLM::Worker", STRANGER_ID)
    found = faults(cards=full, processes=theirs, containers=f"{VLLM_ID} pageindex-rtx5090-vllm-0\n")
    assert "others: VLLM::Worker (pid 7" in found[0][1]


def test_a_shared_card_with_room_is_a_warning(ask: Any) -> None:
    result = ask(processes=process(UUIDS[1], 4242, 300, "/usr/bin/Xorg"))
    assert result["warnings"] == ["card 1 is shared with /usr/bin/Xorg (pid 4242)"]


def unified(**more: Any) -> dict[str, Any]:
    return {
        "cards": GB10_PLAN, "replicas": [{"cards": [0]}], "gpu_memory_utilization": 0.7,
        "images": ["nvcr.io/nvidia/vllm:26.10-py3"], "vllm_image": "nvcr.io/nvidia/vllm:26.10-py3", "weights": None,
        **more,
    }  # fmt: skip


def test_a_gb10_without_a_memory_total_is_judged_by_the_systems(ask: Any, faults: Any) -> None:
    assert ask(unified(), cards=GB10, memory_gib=119.7, machine="aarch64")["ok"] is True
    [(expected, got, _)] = faults(unified(), cards=GB10, memory_gib=119.7, available_gib=60, machine="aarch64")
    assert "free on card 0: 0.7" in expected
    assert got.startswith("61440 MiB")
    assert "122502 MiB of memory" in faults(unified(), cards=GB10, memory_gib=64)[0][0]


def test_a_card_without_a_memory_total_that_was_planned_with_one_is_a_fault(faults: Any) -> None:
    [(_, got, do)] = faults(unified(cards={**GB10_PLAN, "unified": False}), cards=GB10)
    assert got == "none reported"
    assert "unified_memory true" in do


# Driver


@pytest.mark.parametrize(
    ("image", "cuda"),
    [
        ("vllm/vllm-openai:v0.32.0", 13),
        ("vllm/vllm-openai:v0.32.0@sha256:" + "0" * 64, 13),
        ("vllm/vllm-openai:v0.32.0-cu129", 12),
        ("vllm/vllm-openai:v0.18.1", 12),
        ("nvcr.io/nvidia/vllm:25.09-py3", 13),
        ("nvcr.io/nvidia/vllm:25.06-py3", 12),
        ("nvcr.io/nvidia/vllm:26.10-py3", 13),
        ("vllm/vllm-openai-cpu:v0.32.0-x86_64", None),
        ("registry.example.com/my-vllm:1", None),
    ],
)
def test_an_images_cuda_is_read_from_its_name(image: str, cuda: int | None) -> None:
    assert image_cuda(image) == cuda


@pytest.mark.parametrize(
    ("image", "capability", "driver"),
    [
        ("vllm/vllm-openai:v0.32.0", 8.9, 580),
        ("vllm/vllm-openai:v0.32.0-cu129", 8.9, 525),
        ("vllm/vllm-openai:v0.32.0-cu129", 12.0, 570),
        ("registry.example.com/my-vllm:1", 12.0, None),
    ],
)
def test_the_driver_that_an_image_needs(image: str, capability: float, driver: int | None) -> None:
    needed = needed_driver(image, capability)
    assert (needed[0] if needed else None) == driver


OLD = TWO_RTX_5090.replace("580.95.05", "575.64.03")


def test_a_cuda_13_image_on_an_old_driver_names_both_ways_out(faults: Any) -> None:
    [(expected, got, do)] = faults(cards=OLD)
    assert expected == "NVIDIA driver 580 or newer: vllm/vllm-openai:v0.32.0 has CUDA 13"
    assert got == "575.64.03 for NVIDIA GeForce RTX 5090"
    assert "-cu129" in do


def test_compatibility_libraries_do_not_help_a_geforce_card(faults: Any) -> None:
    assert faults({"cuda_compatibility": True}, cards=OLD)


def test_compatibility_libraries_on_a_professional_card_are_a_warning(ask: Any) -> None:
    name = "NVIDIA H100 80GB HBM3"
    facts = {"cards": {**FACTS["cards"], "name": name}, "cuda_compatibility": True}
    result = ask(facts, cards=OLD.replace("NVIDIA GeForce RTX 5090", name))
    assert "compatibility libraries are counted on" in result["warnings"][0]


def test_the_cuda_12_variant_runs_on_an_old_driver(ask: Any) -> None:
    assert ask({"vllm_image": "vllm/vllm-openai:v0.32.0-cu129"}, cards=OLD)["ok"] is True


# Disk, ports, weights


def test_a_disk_that_is_too_small_is_a_fault_with_what_needs_how_much(faults: Any) -> None:
    [(expected, got, _)] = faults(disk_gib=40)
    assert expected.startswith("53 GiB free below /var/lib/docker")
    assert "vllm/vllm-openai:v0.32.0 32.0" in expected
    assert "weights 18.0" in expected
    assert got == "40.0 GiB"


def test_what_is_on_the_host_already_needs_no_room(ask: Any) -> None:
    there = "vllm/vllm-openai:v0.32.0\nnginx:1.30.6\n"
    assert ask(disk_gib=4, images=there, weights="ready\n")["warnings"] == []


def test_weights_that_cannot_be_looked_at_are_a_warning(ask: Any) -> None:
    there = "vllm/vllm-openai:v0.32.0\nnginx:1.30.6\n"
    result = ask(disk_gib=4, images=there, weights="unknown\n")
    assert "if the weights are not on the host yet" in result["warnings"][0]


def test_a_port_of_another_program_is_a_fault_and_our_own_gateways_is_not(ask: Any, faults: Any) -> None:
    [(_, got, _)] = faults(ports=(8000, 22))
    assert got.startswith("8000 taken")
    mine = '{"8080/tcp":[{"HostIp":"127.0.0.1","HostPort":"8000"}]}\n'
    assert ask(ports=(8000, 22), published=mine)["ok"] is True


def test_a_local_directory_without_weights_is_a_fault(ask: Any, faults: Any) -> None:
    weights = {"directory": "", "bytes": 1, "local_path": "/srv/models/glm"}
    [(expected, got, _)] = faults({"weights": weights}, local_weights="ls: cannot access '/srv/models/glm'\n")
    assert "/srv/models/glm on the host" in expected
    assert "cannot access" in got
    there = "config.json\nmodel-00001-of-00013.safetensors\n"
    assert ask({"weights": weights}, local_weights=there)["ok"] is True


def test_an_image_for_another_processor_is_a_fault(faults: Any) -> None:
    facts = {"cards": None, "images": ["vllm/vllm-openai-cpu:v0.32.0-x86_64"], "weights": None}
    [(_, got, _)] = faults(facts, machine="aarch64")
    assert got == "aarch64"


def test_a_stack_without_cards_asks_nothing_about_them(ask: Any) -> None:
    result = ask({"cards": None}, cards="sh: nvidia-smi: not found\n", cards_ended=127)
    assert result["driver"] is None


# Reading


def test_a_shell_that_runs_nothing_is_a_fault_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "commands_on", lambda address: FakeCommands("This account is for dial-stdio only\n"))
    with pytest.raises(CheckFailed, match="shell script") as raised:
        host(FACTS)
    assert "dial-stdio only" in raised.value.got


def test_a_warning_of_docker_before_its_answer_does_not_confuse() -> None:
    info = 'WARNING: No swap limit support\n{"ServerVersion": "28.5.2"}\n'
    assert read_facts(answer(docker=info)).engine == "28.5.2"


def test_containers_are_found_in_both_forms_of_control_groups() -> None:
    old = f"{UUIDS[0]}, 7, 100, python\t12:devices:/docker/{VLLM_ID} 0::/docker/{VLLM_ID} \n"
    new = process(UUIDS[0], 8, "[N/A]", "python", VLLM_ID)
    plain = process(UUIDS[0], 9, 5, "a, b")
    seen = read_facts(answer(processes=old + new + plain)).processes
    assert [each.container for each in seen] == [VLLM_ID, VLLM_ID, None]
    assert [each.used_mib for each in seen] == [100, None, 5]
    assert seen[2].name == "a, b"
