"""One area, or what a change touches: every test belongs to an area, and a file that is nobody's runs everything."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from devtools import areas, testing
from devtools.changes import changed_files, digest, has_passed, remember_passed
from machine.paths import REPOSITORY


def names(files: list[str]) -> set[str]:
    return {area.name for area in areas.touched_by(files)}


def test_every_test_belongs_to_an_area() -> None:
    tests = list((REPOSITORY / "tests").rglob("test_*.py"))
    assert tests
    for path in tests:
        name = str(path.relative_to(REPOSITORY))
        assert any(name.startswith(area.tests) for area in areas.AREAS), name


def test_what_an_area_names_is_there() -> None:
    there = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    for area in areas.AREAS:
        for beginning in (*area.tests, *area.sources):
            assert any(name.startswith(beginning) for name in there.splitlines()), f"{area.name}: {beginning}"


def test_a_change_touches_the_areas_that_its_files_are_part_of() -> None:
    assert names(["services/gateway/app.conf"]) == {"gateway", "models", "stack"}
    assert names(["docs/rollouts.md"]) == {"docs"}
    assert names(["tests/unit/lab/test_hub.py"]) == {"lab"}
    assert names([]) == set()


def test_a_change_of_planning_touches_whoever_stands_on_it() -> None:
    assert names(["planning/memory/budget.py"]) >= {"planning", "program", "languages", "stack", "targets"}


def test_the_apps_stamp_depends_on_all_that_its_tests_read() -> None:
    read = {"planning", "samples", "services/pageindex_app", areas.APP_UNIT_TESTS}
    assert read <= set(testing.APP_INPUTS)


def test_a_file_that_is_nobodys_runs_everything() -> None:
    assert names(["requirements.txt"]) == {area.name for area in areas.AREAS}
    assert names(["docs/rollouts.md", "pyproject.toml"]) == {area.name for area in areas.AREAS}


def test_an_unknown_area_lists_those_that_there_are() -> None:
    with pytest.raises(areas.UnknownArea, match=r"rollouts +a model is replaced"):
        areas.find("help")


def test_beginnings_become_the_files_that_begin_so() -> None:
    found = testing._files(["tests/integration/test_gateway_", "tests/integration/browser"])
    assert "tests/integration/test_gateway_nginx.py" in found
    assert "tests/integration/browser" in found
    assert "tests/integration/gateway_rig.py" not in found


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
        subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True)

    git("init", "--initial-branch", "main")
    (tmp_path / "kept.txt").write_text("1")
    git("add", ".")
    git("commit", "-m", "first")
    git("checkout", "-b", "work")
    (tmp_path / "committed.txt").write_text("2")
    git("add", ".")
    git("commit", "-m", "second")
    (tmp_path / "kept.txt").write_text("3")
    (tmp_path / "new.txt").write_text("4")
    return tmp_path


def test_committed_changed_and_new_files_of_a_branch_count_as_changed(clone: Path) -> None:
    assert changed_files(clone) == ["committed.txt", "kept.txt", "new.txt"]


def test_a_part_that_has_passed_is_remembered_until_one_of_its_files_changes(
    clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("devtools.changes.STATE", clone / ".state")
    state = digest(["kept.txt"], clone)
    assert not has_passed("app", state)
    remember_passed("app", state)
    assert has_passed("app", digest(["kept.txt"], clone))
    (clone / "new.txt").write_text("other")
    assert has_passed("app", digest(["kept.txt"], clone))
    (clone / "kept.txt").write_text("other")
    assert not has_passed("app", digest(["kept.txt"], clone))
