"""Mending lines against Pulumi itself: `preview` refuses, its line is pasted into a shell, and the file is right.

The command line guesses types, keeps old ones and has its own notation of paths. The unit tests have all bad files and
a model of that; here are some of each kind of line.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from planning.stack_files import plan_of_file
from tests.integration.pulumi_project import Project
from tests.unit.planning.test_bad_stack_files import CARDS, CPU, gpus, merged, one_card
from tests.unit.planning.test_models_without_cards import FIT

pytestmark = pytest.mark.integration
NVIDIA = {"vllm": {"image": "nvcr.io/nvidia/vllm:26.10-py3"}, "waivers": {"vllm": "the only image"}}

# A number with a point over text, a truth value over text, an element of a list, a key that needs quotes, two
# commands, a number that must stay text, and so on.
ON_CPU: dict[str, dict[str, Any]] = {
    "model": {"model": "gpt-17"},
    "modle": {"modle": "smollm2-135m-instruct"},
    "gateway.api_port": {"gateway": {"api_port": 99999}},
    "gateway.bind": {"gateway": {"bind": "localhost"}},
    "gateway.tls": {"gateway": {"bind": "192.0.2.7"}},
    "gateway.server_names.0": {"gateway": {"server_names": ["a b", "c.example.com"]}},
    "gateway.clients.a.b": {"gateway": {"clients": {"a.b": {}}}},
    "model_cache.revision": {"model_cache": {"revision": "main"}},
    "model_cache.endpoint": {"model_cache": {"endpoint": "ftp://hub"}},
    "vllm.gpu_memory_utilization": {"vllm": {"gpu_memory_utilization": "0.9"}},
    "vllm.enforce_eager": {"vllm": {"enforce_eager": "yes"}},
    "vllm.shm_gib": {"vllm": {"shm_gib": -2.0}},
    "vllm.extra_flags.--seed": {"vllm": {"extra_flags": {"--seed": 1}}},
    "vllm.extra_env.OMP_NUM_THREADS": {"vllm": {"extra_env": {"OMP_NUM_THREADS": 4}}},
    "vllm.image": {"vllm": {"image": "vllm/vllm-openai-cpu:v0.29.0-x86_64"}},
    "host.docker": {"host": {"docker": "tcp://10.0.0.5:2375"}},
}
ON_CARDS: dict[str, dict[str, Any]] = {
    "vllm.serve_command": NVIDIA,
    "vllm.tensor_parallel_size": {"vllm": {"tensor_parallel_size": 3}},
    "vllm.placement": {"vllm": {"placement": [[0, 0]]}},
    "vllm.max_model_len": {"vllm": {"max_model_len": 50000}},
    "vllm.gpu_memory_utilization": {"vllm": {"gpu_memory_utilization": 0.98}},
    "host.gpus.name": gpus("Voodoo 2", 2, memory_mib=40000),
    "vllm.quantization": one_card("qwen3-8b", "GeForce RTX 5090", quantization="awq"),
    "vllm.kv_cache_dtype": one_card("qwen3-8b", "GeForce RTX 3090", kv_cache_dtype="fp8"),
}
FILES = [(key, merged(CPU, content)) for key, content in ON_CPU.items()]
FILES += [(key, merged(CARDS, content)) for key, content in ON_CARDS.items()]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = Project(tmp_path_factory.mktemp("mending"), "s")
    made.environment["DOCKER_HOST"] = "unix:///nowhere/docker.sock"
    made.write_stack_file({"model": CPU["model"]})
    made.pulumi("stack", "init", "s")
    return made


def mending_line(printed: str, key: str) -> str:
    """The command that a refusal names for the one fault that it has."""
    assert "has 1 fault; nothing was touched" in printed, printed
    assert f"pageindex-stack:{key} " in printed or f"pageindex-stack:{key}\n" in printed, printed
    lines = [line.strip() for line in printed.splitlines()]
    return next(line.removeprefix("mend: ") for line in lines if line.startswith("mend: "))


def run(project: Project, line: str, directory: Path) -> None:
    done = subprocess.run(
        ["bash", "-c", line], cwd=directory, env=project.environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{line}\n{done.stderr}"


@pytest.mark.parametrize(("key", "settings"), FILES, ids=[key for key, _ in FILES])
def test_preview_refuses_and_its_line_mends_the_file(project: Project, key: str, settings: dict[str, Any]) -> None:
    project.write_stack_file(settings)
    refused = project.pulumi("preview", "--stack", "s", ok=False)
    assert refused.returncode != 0
    run(project, mending_line(refused.stdout, key), project.directory)
    plan_of_file(project.stack_file)


# Lists in lists: a share taken out and cards given to both models, and a placement that is taken out and made anew.
WITHOUT_CARDS = {what: file for what, file, _ in FIT if "leaves nothing" in what or "names one" in what}


@pytest.mark.parametrize("what", WITHOUT_CARDS)
def test_a_model_without_cards_gets_them_by_the_line(project: Project, what: str) -> None:
    project.write_stack_file(WITHOUT_CARDS[what])
    refused = project.pulumi("preview", "--stack", "s", ok=False)
    run(project, mending_line(refused.stdout, "models.tiny.placement"), project.directory)
    plan_of_file(project.stack_file)


def test_a_mended_file_previews(project: Project) -> None:
    project.write_stack_file(merged(CPU, {"gateway": {"api_port": 99999}}))
    refused = project.pulumi("preview", "--stack", "s", ok=False)
    run(project, mending_line(refused.stdout, "gateway.api_port"), project.directory)
    assert "to create" in project.pulumi("preview", "--stack", "s").stdout


MEANT: list[tuple[str, dict[str, Any], str, Any]] = [
    # the key of the error, what the file says, where its value stands afterwards, as what
    ("gateway.api_port", {"gateway": {"api_port": "8123"}}, "gateway.api_port", 8123),
    ("pageindex.memory_gib", {"pageindex": {"memory_gib": "6,5"}}, "pageindex.memory_gib", 6.5),
    ("vllm.enforce_eager", {"vllm": {"enforce_eager": "yes"}}, "vllm.enforce_eager", True),
    ("gateway.timeout_s", {"gateway": {"timeout_s": "1h30m"}}, "gateway.timeout_s", 5400),
    ("gateway.server_names", {"gateway": {"server_names": "a.b, c.d"}}, "gateway.server_names", ["a.b", "c.d"]),
    ("gateway.server_names.0", {"gateway": {"server_names": ["a b", "c.d"]}}, "gateway.server_names", ["c.d"]),
    ("gateway.key_expires.al", {"gateway": {"key_expires": {"al": "31.1.2030"}}},
     "gateway.key_expires.al", "2030-01-31"),
    ("gateway.clients.42.parallel_requests", {"gateway": {"clients": {"42": {"parallel_requests": "5"}}}},
     "gateway.clients.42.parallel_requests", 5),
    ("vllm.extra_flags.--seed", {"vllm": {"extra_flags": {"--seed": 1}}}, "vllm.extra_flags.seed", 1),
    ("vlm", {"vlm": {"enforce_eager": "yes", "max_num_seqs": 4}}, "vllm.enforce_eager", True),
    ("api_port", {"api_port": 8123}, "gateway.api_port", 8123),
    ("vllm.extra_env.THREADS", {"vllm": {"extra_env": {"THREADS": 1}}}, "vllm.extra_env.THREADS", "1"),
    ("gatway", {"gatway": {"clients": {"al": {"expires": "2030-01-31"}}, "api_port": 8123}}, "gateway.api_port", 8123),
]  # fmt: skip


@pytest.mark.parametrize(("key", "content", "where", "meant"), MEANT, ids=[row[0] for row in MEANT])
def test_the_file_says_what_was_meant_after_pulumi_has_run_the_line(
    project: Project, key: str, content: dict[str, Any], where: str, meant: Any
) -> None:
    project.write_stack_file(merged(CPU, content))
    refused = project.pulumi("preview", "--stack", "s", ok=False)
    run(project, mending_line(refused.stdout, key), project.directory)
    value: Any = yaml.safe_load(project.stack_file.read_text())["config"]
    area, *inside = where.split(".")
    value = value[f"pageindex-stack:{area}"]
    for part in inside:
        value = value[part]
    assert value == meant
    assert type(value) is type(meant)


@pytest.mark.parametrize("key", ["hf-token", "pagindex-stack:hf_token"])
def test_a_secret_under_a_mistyped_key_is_renamed_and_never_shown(project: Project, key: str) -> None:
    project.write_stack_file(CPU)
    project.pulumi("config", "set", "--stack", "s", "--secret", key, "a-token-of-the-tests")
    refused = project.pulumi("preview", "--stack", "s", ok=False)
    assert refused.returncode != 0
    assert "a-token-of-the-tests" not in refused.stdout + refused.stderr
    line = next(each for each in map(str.strip, refused.stdout.splitlines()) if each.startswith("mend: "))
    run(project, line.removeprefix("mend: "), project.directory)
    assert project.pulumi("config", "get", "--stack", "s", "hf_token").stdout.strip() == "a-token-of-the-tests"
    project.pulumi("preview", "--stack", "s")


def test_a_key_without_a_namespace_is_read_alike_by_pulumi_and_by_make_plan(project: Project) -> None:
    project.write_stack_file(CPU)
    file = project.stack_file
    file.write_text(file.read_text().replace("config:", "config:\n  gateway: {api_port: 8123}", 1))
    assert ":8123/v1" in project.pulumi("preview", "--stack", "s").stdout
    assert plan_of_file(file).settings.gateway.api_port == 8123


def test_a_mistyped_namespace_is_renamed_by_its_line(project: Project) -> None:
    project.write_stack_file(CPU)
    file = project.stack_file
    file.write_text(file.read_text().replace("config:", "config:\n  pagindex-stack:gateway: {api_port: 8123}", 1))
    refused = project.pulumi("preview", "--stack", "s", ok=False)
    assert refused.returncode != 0
    assert "pagindex-stack:gateway" in refused.stdout
    line = next(each for each in map(str.strip, refused.stdout.splitlines()) if each.startswith("mend: "))
    run(project, line.removeprefix("mend: "), project.directory)
    assert plan_of_file(file).settings.gateway.api_port == 8123
