"""A program in YAML composes the same components: previewed, brought up and asked on the real engine.

Takes over 60 s because it starts a vLLM of its own, fetches weights into a volume of its own and runs all checks: it is
the one test in which nothing of the stack's own program is there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from quickstart.environment import environment
from tests.integration.conftest import ON_ANY_CORE, remove_leftovers
from tests.integration.pulumi_project import PASSPHRASE, REPOSITORY, free_port
from toolchain.building import ensure_part
from toolchain.parts import YAML_HOST

pytestmark = pytest.mark.integration
EXAMPLE = REPOSITORY / "examples" / "yaml" / "Pulumi.yaml"
PREFIX = "pageindex-yaml-example"


class Program:
    """The example in a folder of its own, with its ports and names apart from everybody's."""

    def __init__(self, folder: Path):
        self.folder = folder
        content = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
        content["plugins"]["providers"][0]["path"] = str(REPOSITORY / "provider")
        content["resources"]["llm"]["properties"]["settings"]["extraEnv"] = dict(ON_ANY_CORE)
        (folder / "Pulumi.yaml").write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        added = environment()
        # A Pulumi of the user's brings its language hosts itself; ours has this one beside it.
        host = "" if shutil.which("pulumi-language-yaml") else f"{ensure_part(YAML_HOST)}{os.pathsep}"
        self.environment = {
            **added,
            "PATH": f"{host}{added['PATH']}",
            "PULUMI_BACKEND_URL": f"file://{folder}",
            "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
        }
        self.environment.pop("PULUMI_CONFIG_PASSPHRASE_FILE", None)
        self.pulumi("stack", "init", "dev")
        ports = {"apiPort": free_port(), "appPort": free_port()}
        for name, value in {"prefix": PREFIX, "hub": added.get("HF_ENDPOINT", ""), **ports}.items():
            self.pulumi("config", "set", name, str(value))

    def pulumi(self, *arguments: str, ok: bool = True) -> str:
        done = subprocess.run(
            ["pulumi", *arguments, "--non-interactive", "--color", "never"],
            cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0 or not ok, done.stdout + done.stderr
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    made = Program(tmp_path_factory.mktemp("yaml"))
    try:
        yield made
    finally:
        made.pulumi("destroy", "--yes", "--skip-preview", ok=False)
        remove_leftovers(PREFIX)


def test_settings_that_cannot_be_used_are_all_named_at_preview(program: Program) -> None:
    file = program.folder / "Pulumi.yaml"
    good = file.read_text(encoding="utf-8")
    content = yaml.safe_load(good)
    content["resources"]["llm"]["properties"]["settings"] |= {"maxModelLen": -1, "kvCacheDtype": "int4"}
    file.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    try:
        told = program.pulumi("preview", ok=False)
    finally:
        file.write_text(good, encoding="utf-8")
    assert "maxModelLen" in told
    assert "kvCacheDtype" in told


def test_it_comes_up_answers_through_the_gateway_and_has_nothing_to_change(program: Program) -> None:
    assert "to create" in program.pulumi("preview")
    program.pulumi("up", "--yes", "--skip-preview")
    url = program.pulumi("stack", "output", "apiUrl").strip()
    key = program.pulumi("stack", "output", "apiKey", "--show-secrets").strip()
    question = {"model": "default", "messages": [{"role": "user", "content": "What is the capital of France?"}]}
    with httpx.Client(headers={"Authorization": f"Bearer {key}"}, timeout=120, trust_env=False) as client:
        answer = client.post(f"{url}/chat/completions", json={**question, "max_tokens": 40, "temperature": 0}).json()
    assert "Paris" in answer["choices"][0]["message"]["content"]
    checks = yaml.safe_load(program.pulumi("stack", "output", "checks", "--json"))
    assert {name: found["ok"] for name, found in checks.items()} == dict.fromkeys(
        ["documents", "inference", "isolation"], True
    )
    assert key not in program.pulumi("stack", "export")
    program.pulumi("preview", "--expect-no-changes")
