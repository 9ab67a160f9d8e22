"""The simulated GPU host, as a stranger meets it: over ssh, with cards, and with vLLM's GPU command line.

Takes over 60 s because the simulated host gets its images, and a vLLM starts there.
"""

from __future__ import annotations

import json
import socket
import subprocess
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lab import cards, engine, host, paths, recipes, small_model
from lab.cards import Faults
from lab.host import Host
from tests.polling import until

pytestmark = pytest.mark.integration
VLLM, NVIDIA = recipes.GPU_IMAGES
NGINX = "nginx:1.30.6"
WEIGHTS = "/srv/models/Qwen--Qwen3-32B-AWQ"
READY_BUDGET_S = 400.0  # 40 s on two idle cores, which these seldom are
HARDENED = [
    "--cap-drop=ALL", "--security-opt=no-new-privileges", "--user=2000:0", "--read-only", "--tmpfs=/tmp:exec",
    "--tmpfs=/home/vllm:exec,uid=2000", "--env=HOME=/home/vllm", "--env=HF_HUB_OFFLINE=1",
    "--env=VLLM_NO_USAGE_STATS=1",
]  # fmt: skip
RTX5090_FLAGS = [
    "--served-model-name", "default", "Qwen/Qwen3-32B-AWQ", "--host", "0.0.0.0", "--port", "8000",
    "--load-format", "safetensors", "--tensor-parallel-size", "2", "--gpu-memory-utilization", "0.80",
    "--max-model-len", "32768", "--max-num-seqs", "256", "--max-num-queued-reqs", "256", "--shutdown-timeout", "20",
    "--allowed-media-domains", "media.invalid", "--quantization", "awq_marlin", "--kv-cache-dtype", "fp8",
    "--cpu-offload-gb", "4", "--disable-custom-all-reduce", "--enable-auto-tool-choice", "--tool-call-parser", "hermes",
    "--reasoning-parser", "qwen3", "--override-generation-config", '{"max_new_tokens": 64}',
]  # fmt: skip


@pytest.fixture(scope="module")
def there() -> Iterator[Host]:
    """The host with two RTX 5090; another test's cards do not stay."""
    if engine.ensure() != paths.ENGINE_HOST:
        pytest.skip("another engine is in use here, not the lab's")
    yield host.ensure("rtx5090x2")
    host.set_cards("rtx5090x2")


@pytest.fixture
def given_cards(there: Host) -> Iterator[Callable[..., None]]:
    """Puts other cards, or faults, into the host for one test."""
    yield host.set_cards
    host.set_cards("rtx5090x2")


def run(command: list[str], **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, **more)


def ssh(there: Host, *words: str) -> str:
    done = run(there.ssh(*words))
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def docker(there: Host, *words: str, check: bool = True) -> str:
    done = run(["docker", "--host", there.docker_host, *words])
    assert done.returncode == 0 or not check, done.stdout + done.stderr
    return (done.stdout + ("" if check else done.stderr)).strip()


def docker_over_ssh(there: Host, directory: Path, known_hosts: Path) -> subprocess.CompletedProcess[str]:
    """docker knows no ssh options, so an `ssh` that has them comes first on PATH."""
    options = [word.replace(str(there.known_hosts), str(known_hosts)) for word in there.ssh_options()]
    (directory / "ssh").write_text(f'#!/bin/sh\nexec /usr/bin/ssh {" ".join(options)} "$@"\n')
    (directory / "ssh").chmod(0o755)
    command = ["docker", "--host", there.address, "version", "--format", "{{.Server.Version}}"]
    return run(command, env={"PATH": f"{directory}:/usr/local/bin:/usr/bin:/bin", "HOME": str(directory)})


def test_docker_works_over_ssh_with_the_pinned_host_key(there: Host, tmp_path: Path) -> None:
    done = docker_over_ssh(there, tmp_path, there.known_hosts)
    assert done.returncode == 0, done.stderr
    assert engine.parse_version(done.stdout) >= engine.FLOOR


def test_docker_is_refused_where_the_host_key_is_another(there: Host, tmp_path: Path) -> None:
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "other")])
    key = (tmp_path / "other.pub").read_text()
    (tmp_path / "known_hosts").write_text(f"{there.hostname} {key}")
    done = docker_over_ssh(there, tmp_path, tmp_path / "known_hosts")
    assert done.returncode != 0
    assert "Host key verification failed" in done.stderr


def test_the_host_offers_the_key_that_it_says_and_keeps_sshds_own_limits(there: Host) -> None:
    offered = run(["ssh-keyscan", "-T", "10", there.hostname]).stdout
    keys = [line.split(maxsplit=1)[1] for line in offered.splitlines() if not line.startswith("#")]
    assert keys == [there.host_key]
    configured = ssh(there, "cat /etc/ssh/sshd_config /etc/ssh/sshd_config.d/*")
    active = [line for line in configured.splitlines() if line.strip() and not line.startswith("#")]
    assert not [line for line in active if line.startswith(("MaxStartups", "MaxSessions"))]


def test_its_disk_has_room_for_models_of_its_cards(there: Host) -> None:
    said = ssh(there, "df -Pk /var/lib/docker").splitlines()[1].split()
    assert int(said[3]) > 200 * 2**20  # KiB
    assert said[-1] == "/var/lib/docker"


def test_ensuring_what_runs_takes_no_time(there: Host) -> None:
    started_at = time.monotonic()
    assert host.ensure("rtx5090x2") == there
    assert time.monotonic() - started_at < 5


def test_its_loopback_is_not_ours(there: Host) -> None:
    """As on a real remote host, a port published on 127.0.0.1 there is reached through ssh alone."""
    container = docker(there, "run", "--detach", "--publish=127.0.0.1:18080:80", NGINX)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        here = probe.getsockname()[1]
    tunnel = ["-N", "-o", "ExitOnForwardFailure=yes", "-L", f"127.0.0.1:{here}:127.0.0.1:18080"]
    forwarding = subprocess.Popen(there.ssh(options=tunnel))
    try:
        with pytest.raises(OSError, match="refused"), socket.create_connection(("127.0.0.1", 18080), timeout=2):
            pass
        page = until(lambda: fetch(f"http://127.0.0.1:{here}/"), "nginx answers through the tunnel", 20)
        assert "Welcome to nginx!" in page
    finally:
        forwarding.terminate()
        forwarding.wait()
        docker(there, "rm", "--force", container)


def test_containers_there_reach_the_package_index(there: Host) -> None:
    image = "python:3.11-slim-bookworm"
    docker(there, "run", "--rm", image, "pip", "install", "--quiet", "--no-deps", "--target", "/tmp/x", "six")


def fetch(url: str, body: Any = None) -> str:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


@pytest.mark.parametrize(
    ("request_for", "expected"), [("device=0", [0]), ("device=1", [1]), ("all", [0, 1]), ('"device=1,0"', [0, 1])]
)
def test_a_container_has_exactly_the_cards_it_was_given(there: Host, request_for: str, expected: list[int]) -> None:
    question = ["nvidia-smi", "--query-gpu=index,uuid", "--format=csv,noheader"]
    options = ["--rm", f"--gpus={request_for}", "--read-only", "--user=101:0", "--cap-drop=ALL"]
    found = docker(there, "run", *options, NGINX, *question).splitlines()
    assert found == [f"{shown}, {cards.card_uuid('rtx5090x2', card)}" for shown, card in enumerate(expected)]


def test_a_card_that_is_not_there_is_refused_as_nvidias_runtime_does(there: Host) -> None:
    said = docker(there, "run", "--rm", "--gpus=device=7", NGINX, "true", check=False)
    assert "nvidia-container-cli: device error: 7: unknown device" in said


def test_the_nvidia_runtime_works_too_and_without_either_there_is_no_card(there: Host) -> None:
    chosen = ["--runtime=nvidia", "--env=NVIDIA_VISIBLE_DEVICES=1"]
    assert cards.card_uuid("rtx5090x2", 1) in docker(there, "run", "--rm", *chosen, NGINX, "nvidia-smi", "-L")
    assert "not found" in docker(there, "run", "--rm", NGINX, "sh", "-c", "nvidia-smi", check=False)


@pytest.mark.parametrize("profile", ["rtx5090x2", "single24", "gb10"])
def test_what_nvidia_smi_prints_over_ssh_can_be_read(
    there: Host, given_cards: Callable[..., None], profile: str
) -> None:
    given_cards(profile)
    fields = "name,memory.total,memory.free,compute_cap,driver_version,temperature.gpu,power.draw,power.limit"
    rows = ssh(there, "nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader,nounits").splitlines()
    assert len(rows) == len(cards.PROFILES[profile].cards)
    for row, card in zip(rows, cards.PROFILES[profile].cards, strict=True):
        name, total, free, capability, driver, celsius, watts, limit = row.split(", ")
        assert (name, capability, driver) == (card.name, card.compute_cap, "580.95.05")
        assert (total, limit) == (
            ("[N/A]", "[N/A]") if card.unified else (str(card.memory_mib), f"{card.limit_watts:.2f}")
        )
        assert card.unified or 0 < int(free) < card.memory_mib
        assert int(celsius) < 80
        assert float(watts) < 100
    assert "CUDA Version: 13.0" in ssh(there, "nvidia-smi")


def test_memory_is_the_machines_where_it_is_unified(there: Host, given_cards: Callable[..., None]) -> None:
    real_kib = total_memory_kib(there)
    given_cards("gb10")
    assert 119 * 2**20 < total_memory_kib(there) < 121 * 2**20
    assert int(docker(there, "info", "--format", "{{.MemTotal}}")) == total_memory_kib(there) * 1024
    given_cards("single24")
    assert total_memory_kib(there) == real_kib


def total_memory_kib(there: Host) -> int:
    return int(ssh(there, "grep", "MemTotal", "/proc/meminfo").split()[1])


def test_a_machine_without_a_driver_runs_no_container_with_cards(there: Host, given_cards: Callable[..., None]) -> None:
    given_cards("none")
    assert run(there.ssh("nvidia-smi")).returncode == 9
    said = docker(there, "run", "--rm", "--gpus=all", NGINX, "true", check=False)
    assert "nvidia-container-cli: initialization error: nvml error: driver not loaded" in said


def test_an_old_driver_refuses_an_image_for_cuda_13(there: Host, given_cards: Callable[..., None]) -> None:
    given_cards("single24-old-driver")
    said = docker(there, "run", "--rm", "--gpus=all", "--entrypoint=true", VLLM, check=False)
    assert "requirement error: unsatisfied condition: cuda>=13.0, please update your driver" in said
    docker(there, "run", "--rm", "--gpus=all", "--entrypoint=true", NVIDIA)


def test_faults_reach_containers_that_run_already(there: Host, given_cards: Callable[..., None]) -> None:
    container = docker(there, "run", "--detach", "--gpus=device=1", NGINX)
    try:
        given_cards("rtx5090x2", Faults(foreign_mib={1: 9000}, celsius={1: 91}))
        question = ["nvidia-smi", "--query-gpu=temperature.gpu,memory.used", "--format=csv,noheader,nounits"]
        assert docker(there, "exec", container, *question) == "91, 9002"
        apps = ssh(there, "nvidia-smi", "--query-compute-apps=pid,used_memory", "--format=csv,noheader,nounits")
        assert apps == "4243, 9000\n"
    finally:
        docker(there, "rm", "--force", container)


def test_limits_above_the_machines_own_do_not_keep_a_container_from_starting(there: Host) -> None:
    limits = ["--ulimit=memlock=-1", "--ulimit=stack=67108864"]
    found = docker(there, "run", "--rm", *limits, NGINX, "sh", "-c", "ulimit -H -l; ulimit -s").splitlines()
    assert found[0] == "unlimited" or int(found[0]) > 0
    assert found[1] == "65536"


def test_a_misspelt_flag_fails_with_vllms_own_message(there: Host) -> None:
    done = run(
        ["docker", "--host", there.docker_host, "run", "--rm", "--gpus=all", *HARDENED, VLLM, "model",
         "--tensor-paralell-size", "2"]
    )  # fmt: skip
    assert done.returncode == 2
    assert "error: unrecognized arguments: --tensor-paralell-size 2" in done.stderr


def test_nvidias_image_starts_through_its_own_entrypoint(there: Host) -> None:
    said = docker(there, "run", "--rm", "--gpus=all", NVIDIA, "sh", "-c", "command -v vllm")
    assert "== vLLM ==" in said
    assert said.splitlines()[-1] == "/usr/local/bin/vllm"
    base, *rest = [layers(there, image) for image in (recipes.CPU_VLLM, VLLM, NVIDIA)]
    assert all(more[: len(base)] == base for more in rest), "thin layers on the one that is there"


def layers(there: Host, image: str) -> list[str]:
    return list(json.loads(docker(there, "image", "inspect", "--format", "{{json .RootFS.Layers}}", image)))


@pytest.fixture
def weights(there: Host) -> str:
    """The small model where the host keeps a model of another name."""
    if not there.path(WEIGHTS).is_dir():
        there.path("/srv/models").mkdir(parents=True, exist_ok=True)
        run(["cp", "-aL", str(small_model.ensure()), str(there.path(WEIGHTS))])
        run(["chmod", "-R", "a+rX", str(there.path("/srv/models"))])
    return WEIGHTS


def test_a_command_line_for_two_cards_is_checked_and_served(there: Host, weights: str) -> None:
    name = f"lab-vllm-{uuid.uuid4().hex[:8]}"
    options = ["--gpus=all", "--shm-size=1g", f"--volume={weights}:{weights}:ro", "--publish=18000:8000"]
    docker(there, "run", "--detach", f"--name={name}", *options, *HARDENED, VLLM, weights, *RTX5090_FLAGS)
    try:
        here = f"http://{there.hostname}:18000"

        def ready_or_dead() -> str:
            running = docker(there, "inspect", "--format", "{{.State.Running}}", name) == "true"
            return fetch(f"{here}/v1/models") or ("" if running else "ended")

        served = until(ready_or_dead, "vLLM answers", READY_BUDGET_S)
        log = docker(there, "logs", name, check=False)
        assert served != "ended", log[-3000:]
        assert [model["id"] for model in json.loads(served)["data"]] == ["default", "Qwen/Qwen3-32B-AWQ"]
        for flag in ("--tensor-parallel-size 2", "--quantization awq_marlin", "--kv-cache-dtype fp8"):
            assert f"{flag}: dropped, the CPU has no use for it" in log
        assert "--max-model-len 32768: 8192 instead" in log
        assert "KV cache size: " in log
        question = {"model": "Qwen/Qwen3-32B-AWQ", "messages": [{"role": "user", "content": "The capital of France?"}]}
        answer = json.loads(fetch(f"{here}/v1/chat/completions", question))
        assert answer["choices"][0]["message"]["content"]
        used = ssh(there, "nvidia-smi", "--query-compute-apps=used_memory,gpu_uuid", "--format=csv,noheader,nounits")
        expected = int(0.8 * (cards.RTX_5090.memory_mib - cards.RTX_5090.reserved_mib))
        assert used.splitlines() == [f"{expected}, {cards.card_uuid('rtx5090x2', card)}" for card in (0, 1)]
    finally:
        docker(there, "rm", "--force", name)
