"""The release checklist can fail on each of its lines, and says what to do."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from devtools.release import CHECKLIST, Clone, main

FILES = {
    "pyproject.toml": '[project]\nversion = "1.2.0"\n',
    "services/pageindex_app/pageindex_app/__init__.py": '__version__ = "1.2.0"\n',
    "CHANGELOG.md": "# Changelog\n\n## [Unreleased]\n\n## [1.2.0] - 2030-01-31\n\n### Added\n- Something.\n",
    "images.compose.yaml": "services:\n  nginx:\n    image: nginx:1.30.6\n",
    "requirements.in": "httpx==0.28.1  # asks\n",
    "requirements.txt": "httpx==0.28.1 \\\n    --hash=sha256:00\n",
}


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    """A clone that meets every line; its `python` says that the generated pages are current."""
    for name, text in FILES.items():
        path = tmp_path / "clone" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    git(tmp_path / "clone", "init")
    git(tmp_path / "clone", "add", ".")
    git(tmp_path / "clone", "commit", "-m", "first")
    return Clone(tmp_path / "clone", Path("/bin/true"))


def test_a_clone_that_meets_every_line_is_told_how_to_tag(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(clone) == 0
    shown = capsys.readouterr().err
    assert shown.count("✓") == len(CHECKLIST)
    assert "git tag -a v1.2.0" in shown


@pytest.mark.parametrize(
    ("file", "text", "todo"),
    [
        ("services/pageindex_app/pageindex_app/__init__.py", '__version__ = "1.1.0"\n', "set __version__"),
        ("CHANGELOG.md", "## [Unreleased]\n- new\n## [1.1.0]\n- old\n", "name the section [1.2.0]"),
        ("CHANGELOG.md", "## [Unreleased]\n## [1.2.0]\n\n", "say in CHANGELOG.md"),
        ("CHANGELOG.md", "## [Unreleased]\n- new\n## [1.2.0]\n- x\n", "move what stands under"),
        ("images.compose.yaml", "services:\n  nginx:\n    image: nginx:latest\n", "pin nginx:latest"),
        ("requirements.in", "httpx==0.29.0\n", "make lock (requirements.txt)"),
        ("loose.txt", "not committed", "commit or stash"),
    ],
)
def test_each_line_fails_by_itself(
    clone: Clone, file: str, text: str, todo: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (clone.folder / file).write_text(text)
    if file != "loose.txt":
        git(clone.folder, "commit", "-am", "break it")
    assert main(clone) == 1
    shown = capsys.readouterr().err
    assert todo in shown
    assert shown.count("✗") == 1


def test_a_version_that_is_tagged_and_pages_that_are_stale_fail_too(
    clone: Clone, capsys: pytest.CaptureFixture[str]
) -> None:
    git(clone.folder, "tag", "v1.2.0")
    assert main(Clone(clone.folder, Path("/bin/false"))) == 1
    shown = capsys.readouterr().err
    assert "v1.2.0 is tagged already" in shown
    assert "python -m planning schema" in shown
