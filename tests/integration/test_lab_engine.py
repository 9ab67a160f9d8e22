"""The lab's engine and its images, for real: what they promise, how they end, and what they leave behind."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from pathlib import Path
from typing import Any

import pytest

from lab import engine, engine_root, images, paths
from tests.polling import until

pytestmark = pytest.mark.integration
PYTHON, NGINX, VLLM = "python:3.11-slim-bookworm", "nginx:1.30.6", "vllm/vllm-openai-cpu:v0.32.0-x86_64"
QUICK_S = 2.0
REPOSITORY = Path(__file__).parents[2]
HARDENED = ["--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--tmpfs=/tmp:exec", "--network=none"]


def docker(host: str, *arguments: str, check: bool = True) -> str:
    done = subprocess.run(["docker", "--host", host, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0 or not check, f"docker {' '.join(arguments[:4])}: {done.stdout}{done.stderr}"
    return (done.stdout + ("" if check else done.stderr)).strip()


@pytest.fixture(scope="module")
def host() -> str:
    """The lab's engine with its images."""
    found = engine.ensure()
    if found != paths.ENGINE_HOST:
        pytest.skip(f"{found} is in use here, not the lab's engine")
    images.ensure([PYTHON, NGINX, VLLM], found)
    return found


def test_the_engine_is_new_enough_for_isolated_networks(host: str) -> None:
    found = docker(host, "version", "--format", "{{.Server.Version}}")
    assert engine.parse_version(found) >= engine.FLOOR


def test_ensuring_what_is_there_takes_no_time(host: str) -> None:
    started_at = time.monotonic()
    assert engine.ensure() == host
    images.ensure([PYTHON, NGINX, VLLM], host)
    assert time.monotonic() - started_at < QUICK_S


def test_an_isolated_network_has_no_way_out_and_none_to_the_host(host: str) -> None:
    name = f"lab-isolated-{uuid.uuid4().hex[:8]}"
    isolated = "com.docker.network.bridge.gateway_mode_ipv4=isolated"
    docker(host, "network", "create", "--internal", "-o", isolated, name)
    try:
        table = docker(host, "run", "--rm", "--network", name, PYTHON, "cat", "/proc/net/route").splitlines()[1:]
        assert len(table) == 1, f"its own subnet and nothing else: {table}"
        assert table[0].split()[1] != "00000000", "that is a default route"
        bridge = docker(host, "network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Gateway}}")
        reach = f"import socket; print(socket.socket().connect_ex(('{bridge or '172.17.0.1'}', 8790)))"
        answer = docker(host, "run", "--rm", "--network", name, PYTHON, "python3", "-c", reach)
        assert int(answer) == 101, "ENETUNREACH"
    finally:
        docker(host, "network", "rm", name)


def test_the_engines_own_docker_command_runs_on_the_host(host: str) -> None:
    command = [*engine_root.inside_root("docker"), "--host", host, "version", "--format", "{{.Client.Version}}"]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert engine.parse_version(found) >= engine.FLOOR


def test_the_hosts_directories_are_mounted_as_with_any_local_engine(host: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        Path(directory, "note").write_text("from the host")
        volume = f"--volume={directory}:/there:ro"
        assert docker(host, "run", "--rm", volume, PYTHON, "cat", "/there/note") == "from the host"


def test_containers_reach_the_package_index_over_https(host: str) -> None:
    docker(host, "run", "--rm", PYTHON, "pip", "install", "--quiet", "--no-deps", "--target", "/tmp/x", "six")


def config(host: str, image: str) -> dict[str, Any]:
    return dict(json.loads(docker(host, "image", "inspect", image))[0]["Config"])


def test_python_is_where_the_official_image_has_it(host: str) -> None:
    questions = (
        "command -v python3; command -v pip; python3 --version;"
        "pip list --format=freeze 2>/dev/null | tr '\\n' ' '; echo;"
        "python3 -m venv /tmp/venv; /tmp/venv/bin/python3 -m pip --version > /dev/null"
    )
    found = docker(host, "run", "--rm", "--user=10001:0", *HARDENED, PYTHON, "sh", "-euc", questions).splitlines()
    assert found[:2] == ["/usr/local/bin/python3", "/usr/local/bin/pip"]
    assert found[2].startswith("Python 3.11.")
    assert {package.partition("==")[0] for package in found[3].split()} <= {"pip", "setuptools", "wheel"}
    assert config(host, PYTHON)["Cmd"] == ["python3"]


def test_nginx_keeps_the_official_images_contract(host: str) -> None:
    found = config(host, NGINX)
    assert found["Entrypoint"] == ["/docker-entrypoint.sh"]
    assert found["Cmd"] == ["nginx", "-g", "daemon off;"]
    assert found["StopSignal"] == "SIGQUIT"
    assert docker(host, "run", "--rm", NGINX, "sh", "-c", "id -u nginx; id -g nginx").split() == ["101", "101"]
    version = docker(host, "run", "--rm", NGINX, "sh", "-c", "nginx -v 2>&1").rpartition("/")[2]
    assert engine.parse_version(version) >= (1, 30, 2)


def test_nginx_serves_its_welcome_page_and_logs_to_the_container(host: str) -> None:
    container = docker(host, "run", "--detach", "--publish=127.0.0.1::80", NGINX)
    try:
        address = docker(host, "port", container, "80/tcp")

        def page() -> str:
            try:
                with urllib.request.urlopen(f"http://{address}/", timeout=2) as answer:
                    return str(answer.read().decode())
            except OSError:
                return ""

        assert "Welcome to nginx!" in until(page, "nginx answers", 20)
        until(lambda: '"GET / HTTP/1.1" 200' in docker(host, "logs", container), "the access log has the request", 5)
    finally:
        docker(host, "rm", "--force", container)


def test_vllm_is_the_real_one_built_for_the_cpu(host: str) -> None:
    assert config(host, VLLM)["Entrypoint"] == ["vllm", "serve"]
    question = (
        "import torch; from importlib.metadata import version; from vllm.platforms import current_platform as here;"
        "total = float(torch.ones(2, 2).matmul(torch.eye(2)).sum());"
        "print(version('vllm'), here.is_cpu(), torch.cuda.is_available(), total)"
    )
    entrypoint = ["--user=2000:0", "--env=HOME=/tmp", *HARDENED, "--entrypoint=sh", VLLM, "-euc"]
    questions = f'command -v curl; command -v python3; python3 -c "{question}"'
    found = docker(host, "run", "--rm", *entrypoint, questions).splitlines()
    assert found[:2] == ["/usr/bin/curl", "/usr/local/bin/python3"]
    assert found[-1] == "0.32.0+cpu True False 4.0"


def test_vllm_refuses_a_flag_that_it_does_not_know(host: str) -> None:
    said = docker(host, "run", "--rm", *HARDENED, "--env=HOME=/tmp", VLLM, "model", "--no-such-flag", check=False)
    assert "unrecognized arguments: --no-such-flag" in said


def elsewhere(scenario: str, cache: Path) -> None:
    """Run a scenario of lab_elsewhere.py: another lab in a network of its own, so that this one stays as it is."""
    environment = {key: value for key, value in os.environ.items() if key != "DOCKER_HOST"}
    environment |= {"PAGEINDEX_STACK_CACHE": str(cache), "PYTHONPATH": str(REPOSITORY)}
    state = paths.STATE / f"elsewhere-{uuid.uuid4().hex[:8]}"
    script = Path(__file__).with_name("lab_elsewhere.py")
    with tempfile.TemporaryDirectory(dir="/run") as run:  # pytest's own are too long for a socket's name
        command = ["unshare", "--net", sys.executable, script, scenario, state, f"{run}/lab"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    shutil.rmtree(state, ignore_errors=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "scenario",
    [
        "a_pull_goes_through_the_registry",
        "a_killed_engine_leaves_nothing_behind_and_starts_again",
        "a_daemon_that_does_not_answer_is_replaced",
        "a_machine_without_a_docker_command_gets_one_and_loses_it_again",
        "an_engine_that_cannot_start_says_why",
        "clean_leaves_no_bridge_no_firewall_rule_and_no_file",
        "a_gpu_host_ends_completely_and_comes_back_as_it_was",
    ],
)
def test_in_another_lab(host: str, scenario: str, tmp_path: Path) -> None:
    elsewhere(scenario, tmp_path)
    assert engine.version(host), "the lab that was there is untouched"
