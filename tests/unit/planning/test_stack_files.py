"""The stack files that come with the project, their schema and the reference page."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from planning.__main__ import REFERENCE_FILE, SCHEMA_FILE, main, plan_text
from planning.hosts.images import image_names
from planning.hosts.minimum_versions import NGINX, VLLM, cuda_major, vllm_version
from planning.reference import reference_page, schema_text
from planning.settings.areas import settings_fields
from planning.settings.errors import NAMESPACE
from planning.stack_files import plan_of_file

ROOT = Path(__file__).resolve().parents[3]
FILES = sorted(ROOT.glob("Pulumi.*.yaml"))
BY_STACK = {path.name.split(".")[1]: path for path in FILES}


@pytest.mark.parametrize("stack", BY_STACK)
def test_every_stack_file_is_fine_and_fits_with_room_to_spare(stack: str) -> None:
    plan = plan_of_file(BY_STACK[stack])
    assert (plan.default.fit.memory and plan.default.fit.memory.fits and not plan.default.fit.memory.tight) or (
        plan.default.fit.cpu and plan.default.fit.cpu.fits
    )


def test_the_stacks_are_what_their_names_promise() -> None:
    plans = {stack: plan_of_file(path).default for stack, path in BY_STACK.items()}
    pair, replicas, ocr, gb10 = (plans[name] for name in ("rtx5090", "rtx5090-replicas", "ocr", "gb10"))
    assert [replica.cards for replica in pair.replicas] == [(0, 1)]
    assert pair.fit.memory
    assert pair.fit.memory.full_requests > 3
    assert [replica.cards for replica in replicas.replicas] == [(0,), (1,)]
    assert [replica.alias for replica in replicas.replicas] == ["vllm-0", "vllm-1"]
    assert ocr.model.multimodal
    assert plan_of_file(BY_STACK["ocr"]).settings.gateway.api_port == 8001
    assert ocr.model.revision == "main"
    assert gb10.local_path == "/srv/models/GLM-4.5-Air-AWQ-4bit"
    assert gb10.card
    assert gb10.card.unified
    assert plans["dev"].local_path is None


@pytest.mark.parametrize("stack", BY_STACK)
def test_editors_know_every_key_of_a_stack_file(stack: str) -> None:
    text = BY_STACK[stack].read_text(encoding="utf-8")
    if stack != "dev":
        assert text.startswith("# yaml-language-server: $schema=docs/stack.schema.json\n")
    schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    for key, value in yaml.safe_load(text)["config"].items():
        assert known(schema, schema["properties"]["config"]["properties"][key], value), key


def known(schema: dict[str, Any], part: dict[str, Any], value: Any) -> bool:
    """Whether a value's keys are named by its part of the schema; types are pydantic's to check."""
    if "$ref" in part:
        part = schema["$defs"][part["$ref"].rsplit("/", 1)[1]]
    branches = part.get("anyOf", [])
    if branches:
        return any(known(schema, branch, value) for branch in branches)
    if not isinstance(value, dict):
        return "properties" not in part
    inner, free = part.get("properties", {}), part.get("additionalProperties")
    patterns = part.get("patternProperties", {})
    named = [next((each for each in patterns if re.match(each, key)), None) for key in value]
    return all(
        known(schema, inner[key], below)
        if key in inner
        else (known(schema, patterns[pattern], below) if pattern else bool(free))
        for (key, below), pattern in zip(value.items(), named, strict=True)
    )


def test_the_schema_is_current() -> None:
    assert SCHEMA_FILE.read_text(encoding="utf-8") == schema_text(), "run: python -m planning schema"


def test_the_reference_page_is_current() -> None:
    assert REFERENCE_FILE.read_text(encoding="utf-8") == reference_page(), "run: python -m planning reference"


def test_schema_and_reference_have_every_key() -> None:
    schema = json.loads(schema_text())["properties"]["config"]["properties"]
    assert set(schema) == {f"{NAMESPACE}:{name}" for name in settings_fields()}
    page = reference_page()
    assert set(yaml.safe_load((ROOT / "Pulumi.yaml").read_text(encoding="utf-8"))["config"]) == set(settings_fields())
    for name in settings_fields():
        assert f"## {name}" in page or f"`{name}`" in page


def test_our_images_are_above_the_floors() -> None:
    images = image_names()
    for name in ("vllm-cuda", "vllm-cpu"):
        version = vllm_version(images[name])
        assert version
        assert version >= VLLM.version
    assert tuple(map(int, images["nginx"].split(":")[1].split("."))) >= NGINX.version


@pytest.mark.parametrize(
    ("image", "version", "cuda"),
    [
        ("vllm/vllm-openai:v0.32.0", (0, 32, 0), 13),
        ("vllm/vllm-openai:v0.32.1-cu129@sha256:" + "0" * 64, (0, 32, 1), 12),
        ("vllm/vllm-openai:v0.19.0", (0, 19, 0), 12),
        ("vllm/vllm-openai-cpu:v0.32.0-x86_64", (0, 32, 0), None),
        ("nvcr.io/nvidia/vllm:26.10-py3", (0, 31, 0), 13),
        ("nvcr.io/nvidia/vllm:99.01-py3", None, None),
        ("registry.example.com:5000/vllm:mine", None, None),
    ],
)
def test_versions_are_read_from_image_names(image: str, version: tuple[int, int, int] | None, cuda: int | None) -> None:
    assert vllm_version(image) == version
    assert cuda_major(image) == cuda


def test_a_plan_is_shown_with_its_table_and_a_bar_for_each_card() -> None:
    text = plan_text(plan_of_file(BY_STACK["rtx5090"]))
    assert "KV cache holds 113," in text
    assert text.count("[████") == 2
    assert text.rstrip().endswith("fits")
    assert "#####" in plan_text(plan_of_file(BY_STACK["gb10"])), "unified memory shows what the system has"


def test_the_command_prints_a_plan_or_all_faults(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dev"]) == 0
    assert "KV cache holds 93,184 tokens" in capsys.readouterr().out
    bad = tmp_path / "Pulumi.bad.yaml"
    bad.write_text(
        f"config:\n  {NAMESPACE}:model: qwen3-32b-awq\n"
        f"  {NAMESPACE}:host: {{gpus: {{name: NVIDIA GeForce RTX 5080}}}}\n"
        f"  {NAMESPACE}:api_keys: {{al: {{secure: v1:x}}}}\n"
    )
    assert main([str(bad)]) == 1
    said = capsys.readouterr().err
    assert "needed before KV cache" in said
    assert "What would fit" in said
    assert "pulumi config set -s bad model qwen3-14b-awq" in said
    assert main(["no-such-stack"]) == 2
