"""What names a build in the cache, and that the pins of different files agree."""

from __future__ import annotations

import dataclasses
import re
import shutil
from pathlib import Path

import pytest

from toolchain import parts
from toolchain.parts import COMMAND_VERSION, DOCKER_VERSION, PARTS, Part

REQUIREMENTS = parts.HERE.parent / "requirements.txt"


@pytest.fixture
def copy_of_a_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Part:
    part = next(part for part in PARTS if part.folder == "command_plugin")
    shutil.copytree(part.source, tmp_path / "parts" / part.folder)
    monkeypatch.setattr(parts, "HERE", tmp_path / "parts")
    return part


@pytest.mark.parametrize("name", ["go.mod", "go.sum", "main.go", "remote/dial.go", "a_new_file.go"])
def test_a_change_of_any_source_makes_another_build(copy_of_a_part: Part, name: str) -> None:
    before = copy_of_a_part.content_hash()
    with (copy_of_a_part.source / name).open("a") as file:
        file.write("// changed\n")
    assert copy_of_a_part.content_hash() != before


@pytest.mark.parametrize("name", ["local_test.go", "README.md", "testdata/names.json"])
def test_a_change_of_tests_or_prose_does_not(copy_of_a_part: Part, name: str) -> None:
    before = copy_of_a_part.content_hash()
    (copy_of_a_part.source / "testdata").mkdir()
    with (copy_of_a_part.source / name).open("a") as file:
        file.write("// changed\n")
    assert copy_of_a_part.content_hash() == before


@pytest.mark.parametrize("change", [{"version": "9.9.9"}, {"tags": "other"}, {"package": "./other"}])
def test_another_recipe_makes_another_build(change: dict[str, str]) -> None:
    for part in PARTS:
        assert dataclasses.replace(part, **change).content_hash() != part.content_hash()  # type: ignore[arg-type]


def test_a_moved_file_makes_another_build(copy_of_a_part: Part) -> None:
    before = copy_of_a_part.content_hash()
    (copy_of_a_part.source / "main.go").rename(copy_of_a_part.source / "renamed.go")
    assert copy_of_a_part.content_hash() != before


def test_the_plugins_carry_the_versions_of_the_python_packages_that_ask_for_them() -> None:
    pinned = dict(re.findall(r"^([\w-]+)==([\d.]+)", REQUIREMENTS.read_text(), re.MULTILINE))
    assert pinned["pulumi-docker"] == DOCKER_VERSION
    assert pinned["pulumi-command"] == COMMAND_VERSION


@pytest.mark.parametrize(
    ("folder", "module"),
    [("cli", "github.com/pulumi/pulumi/pkg/v3"), ("language_host", "github.com/pulumi/pulumi/sdk/v3")],
)
def test_what_a_go_mod_pins_is_the_version_that_the_program_says(folder: str, module: str) -> None:
    part = next(part for part in PARTS if part.folder == folder)
    assert f"{module} {part.version}" in (part.source / "go.mod").read_text()


def test_every_part_has_its_checksums() -> None:
    for part in PARTS:
        assert (part.source / "go.sum").stat().st_size > 0
