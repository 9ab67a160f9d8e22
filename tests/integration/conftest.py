"""The dev stack, really deployed once for all tests that only look at it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.integration.pulumi_project import REPOSITORY, Project, docker, free_port

# vLLM ties its threads to the first cores, also where another stack's are: several at once would queue for one core.
# With threads tied to nothing its worker needs no process of its own, whose imports take ten seconds.
ON_ANY_CORE = {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": "1", "VLLM_ENABLE_V1_MULTIPROCESSING": "0"}


def dev_config(api_port: int, app_port: int) -> dict[str, Any]:
    """Pulumi.dev.yaml's settings on ports that nobody has, with threads on any core."""
    config = yaml.safe_load((REPOSITORY / "Pulumi.dev.yaml").read_text())["config"]
    settings = {key.removeprefix("pageindex-stack:"): value for key, value in config.items()}
    settings["gateway"] = {**settings.get("gateway", {}), "api_port": api_port, "app_port": app_port}
    settings["vllm"] = {**settings["vllm"], "extra_env": ON_ANY_CORE}
    return settings


class Stack:
    """A deployed stack and the settings it was deployed with."""

    def __init__(self, project: Project, settings: dict[str, Any]):
        self.project, self.settings = project, settings

    def client(self, of: str = "app_url", *, with_key: bool = True) -> httpx.Client:
        """HTTP to the gateway's app or API port, with the first client's key."""
        outputs = self.project.outputs()
        headers = {"Authorization": f"Bearer {outputs['api_key']}"} if with_key else {}
        base_url = outputs[of].removesuffix("/v1")
        return httpx.Client(base_url=base_url, headers=headers, timeout=300, trust_env=False)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The dev stack."""
    with deployed(tmp_path_factory.mktemp("stack"), {}) as up:
        yield up


@contextmanager
def deployed(directory: Path, vllm: Mapping[str, Any], program: Path | None = None) -> Iterator[Stack]:
    """A dev stack with these settings of vLLM, up and checked; in the end it is destroyed, and its weights removed."""
    project = Project(directory, f"test-{uuid.uuid4().hex[:6]}")  # apart from another run's
    if program:
        (directory / "__main__.py").unlink()
        (directory / "__main__.py").symlink_to(program)
    settings = dev_config(free_port(), free_port())
    settings["vllm"] = {**settings["vllm"], **vllm}
    project.write_stack_file(settings)
    project.pulumi("stack", "init", project.stack)
    with brought_up(project, settings) as stack:
        yield stack


@contextmanager
def brought_up(project: Project, settings: dict[str, Any]) -> Iterator[Stack]:
    """A stack whose file is written, up and checked; in the end nothing of it is left."""
    try:
        project.up()
        yield Stack(project, settings)
    finally:
        project.pulumi("destroy", "--stack", project.stack, "--yes", "--skip-preview", ok=False)
        remove_leftovers(project.prefix)


def remove_leftovers(prefix: str) -> None:
    """What a failed test may have left, recognised by its label."""
    label = f"label=pageindex-stack.stack={prefix}"
    for kind in ("container", "network", "volume"):
        every = ["--all"] if kind == "container" else []
        for found in docker(kind, "ls", *every, "--quiet", "--filter", label).split():
            docker(kind, "rm", "--force", found, ok=False)


@pytest.fixture(scope="session")
def sample() -> Callable[[str], Path]:
    return lambda name: REPOSITORY / "samples" / name
