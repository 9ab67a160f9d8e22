"""Links of the documentation lead somewhere, and the architecture page names what is really there."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
PAGES = [
    REPOSITORY / name
    for name in subprocess.run(
        ["git", "ls-files", "*.md"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout.split()
    if not name.startswith("samples/")
]
ARCHITECTURE = REPOSITORY / "docs" / "architecture.md"
LINK = re.compile(r"\[[^\]]*\]\(([^)\s#]+)(?:#[^)]*)?\)")
TASK = re.compile(r"^\| (?P<task>[A-Z][^|]+) \| \[[^\]]+\]\((?P<file>[^)]+)\) \| `(?P<named>[^`]+)` \|$", re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_relative_link_leads_to_a_file(page: Path) -> None:
    links = [link for link in LINK.findall(page.read_text(encoding="utf-8")) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_five_tasks_name_a_file_that_holds_what_is_to_be_changed() -> None:
    tasks = list(TASK.finditer(ARCHITECTURE.read_text(encoding="utf-8")))
    assert len(tasks) == 5
    for task in tasks:
        file = ARCHITECTURE.parent / task["file"]
        assert task["named"] in file.read_text(encoding="utf-8"), f"{task['task']}: {file.name}"


def test_paths_in_the_walks_exist() -> None:
    text = ARCHITECTURE.read_text(encoding="utf-8")
    for name in re.findall(r"`(tests/[\w/]+\.py)`", text):
        assert (REPOSITORY / name).is_file(), name


def test_commands_of_the_makefile_that_pages_name_are_there() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for page in PAGES:
        for name in re.findall(r"`make ([a-z-]+)", page.read_text(encoding="utf-8")):
            assert name in targets, f"{page.name}: make {name}"


def test_each_of_renovates_patterns_matches_a_file() -> None:
    settings = json.loads((REPOSITORY / "renovate.json").read_text(encoding="utf-8"))
    names = subprocess.run(
        ["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout.split()
    patterns = [
        pattern
        for manager in settings["enabledManagers"]
        for pattern in settings.get(manager, {}).get("managerFilePatterns", [])
    ]
    assert patterns
    for pattern in patterns:
        assert any(re.search(pattern.strip("/"), name) for name in names), pattern
    assert (REPOSITORY / ".github" / "workflows").is_dir()


def test_the_commit_hook_can_be_run_and_names_tools_that_make_check_uses() -> None:
    hook = REPOSITORY / ".githooks" / "pre-commit"
    assert os.access(hook, os.X_OK)
    subprocess.run(["sh", "-n", str(hook)], check=True)
    for tool in ("ruff format --check", "ruff check", "mypy"):
        assert tool in hook.read_text(encoding="utf-8")
