"""Mending lines against Pulumi's real command line: it guesses types, keeps old ones, has its own notation of paths."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from planning.__main__ import plan_of_file
from planning.problems import NAMESPACE, BadStackFile
from quickstart.environment import environment
from tests.unit.planning.test_bad_stack_files import CARDS, CPU, merged

pytestmark = pytest.mark.integration

# One of each kind of line: number with a point over text, truth value over text, element of a list, key that needs
# quotes, two commands, a number that must stay text.
FILES: dict[str, dict[str, Any]] = {
    "vllm.gpu_memory_utilization": {"vllm": {"gpu_memory_utilization": "0.9"}},
    "vllm.enforce_eager": {"vllm": {"enforce_eager": "yes"}},
    "vllm.shm_gib": {"vllm": {"shm_gib": -2.0}},
    "gateway.server_names.0": {"gateway": {"server_names": ["a b", "c.example.com"]}},
    "gateway.clients.a.b": {"gateway": {"clients": {"a.b": {}}}},
    "vllm.extra_flags.--seed": {"vllm": {"extra_flags": {"--seed": 1}}},
    "vllm.extra_env.OMP_NUM_THREADS": {"vllm": {"extra_env": {"OMP_NUM_THREADS": 4}}},
    "vllm.image": {"vllm": {"image": "vllm/vllm-openai-cpu:v0.29.0-x86_64"}},
    "vllm.serve_command": {"vllm": {"image": "nvcr.io/nvidia/vllm:26.10-py3"}, "waivers": {"vllm": "the only image"}},
}


@pytest.fixture
def pulumi(tmp_path: Path) -> Callable[[str], None]:
    """Run command lines in a project whose stack is `s`."""
    (tmp_path / "Pulumi.yaml").write_text(f"name: {NAMESPACE}\nruntime: yaml\n")
    variables = {
        **os.environ,
        **environment(),
        "PULUMI_BACKEND_URL": f"file://{tmp_path}",
        "PULUMI_CONFIG_PASSPHRASE": "only-for-tests",
    }

    def run(line: str) -> None:
        done = subprocess.run(["bash", "-c", line], cwd=tmp_path, env=variables, capture_output=True, text=True)
        assert done.returncode == 0, f"{line}\n{done.stderr}"

    run("pulumi stack init s")
    return run


def test_mending_lines_do_what_they_say(pulumi: Callable[[str], None], tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.s.yaml"
    for key, content in FILES.items():
        base = CARDS if key == "vllm.serve_command" else CPU
        settings = {f"{NAMESPACE}:{name}": value for name, value in merged(base, content).items()}
        file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), "config": settings}))
        with pytest.raises(BadStackFile) as raised:
            plan_of_file(file)
        problems = {problem.key: problem for problem in raised.value.problems}
        assert list(problems) == [key]
        pulumi(problems[key].mend)
        plan_of_file(file)
