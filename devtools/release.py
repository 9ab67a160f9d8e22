"""The release checklist, run instead of read: each line is met, or names the command that meets it. Changes nothing."""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from machine.console import line
from machine.paths import REPOSITORY, VENV

APP_VERSION_FILE = "services/pageindex_app/pageindex_app/__init__.py"
PINNED = re.compile(r":(?!latest)[\w][\w.-]*(@sha256:[0-9a-f]{64})?$")


@dataclass(frozen=True)
class Clone:
    """A clone that is to be released."""

    folder: Path = REPOSITORY
    python: Path = VENV / "bin" / "python"

    def text(self, name: str) -> str:
        return (self.folder / name).read_text(encoding="utf-8")

    def git(self, *arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=self.folder, capture_output=True, text=True, check=False
        ).stdout.strip()

    @property
    def version(self) -> str:
        return str(tomllib.loads(self.text("pyproject.toml"))["project"]["version"])


Line = tuple[str, Callable[[Clone], str]]
"""What is to hold, and a function that returns nothing if it does, else what to do."""


def main(clone: Clone | None = None) -> int:
    """Print the checklist; 0 if every line is met, then with the command that tags the release."""
    clone = clone or Clone()
    missing = 0
    for what, look in CHECKLIST:
        todo = look(clone)
        missing += bool(todo)
        line(f"{'✗' if todo else '✓'} {what}{f': {todo}' if todo else ''}")
    if missing:
        line(f"{missing} of {len(CHECKLIST)} lines are not met; nothing was changed")
        return 1
    line(f"all met; what is left: git tag -a v{clone.version} -m 'Release {clone.version}' && git push --follow-tags")
    return 0


def _clean(clone: Clone) -> str:
    return "commit or stash what `git status --short` shows" if clone.git("status", "--porcelain") else ""


def _untagged(clone: Clone) -> str:
    taken = clone.git("tag", "--list", f"v{clone.version}")
    return f"v{clone.version} is tagged already: raise `version` in pyproject.toml" if taken else ""


def _one_version(clone: Clone) -> str:
    found = re.search(r'^__version__ = "([^"]+)"', clone.text(APP_VERSION_FILE), re.MULTILINE)
    return "" if found and found[1] == clone.version else f"set __version__ in {APP_VERSION_FILE} to {clone.version}"


def _changelog(clone: Clone) -> str:
    sections = dict(re.findall(r"^## \[([^\]]+)\][^\n]*\n(.*?)(?=^## \[|\Z)", clone.text("CHANGELOG.md"), re.M | re.S))
    if clone.version not in sections:
        return f"name the section [{clone.version}] - DATE in CHANGELOG.md, and open an empty [Unreleased]"
    if not sections[clone.version].strip():
        return f"say in CHANGELOG.md what changed in {clone.version}"
    return "move what stands under [Unreleased] into the release" if sections.get("Unreleased", "").strip() else ""


def _generated(clone: Clone) -> str:
    """Schema and reference page, held by their own tests."""
    test = [str(clone.python), "-m", "pytest", "tests/unit/planning/test_stack_files.py", "-q", "-k", "current"]
    done = subprocess.run(test, cwd=clone.folder, capture_output=True, check=False)
    return "python -m planning schema && python -m planning reference" if done.returncode else ""


def _locks(clone: Clone) -> str:
    stale = [lock for lock, wanted in _requirements(clone) if wanted not in lock.read_text(encoding="utf-8").lower()]
    return f"make lock ({', '.join(sorted({str(each.relative_to(clone.folder)) for each in stale}))})" if stale else ""


def _requirements(clone: Clone) -> Iterator[tuple[Path, str]]:
    """Each lock file with what it has to hold of each requirement: name and version, or of a range the name."""
    for source in [clone.folder / "requirements.in", *clone.folder.glob("services/*/requirements*.in")]:
        for text in source.read_text(encoding="utf-8").splitlines():
            wanted = text.split("#")[0].split(";")[0].strip().lower()
            if not wanted or wanted.startswith("-"):
                continue
            name, exact, version = re.sub(r"\[.*?\]", "", wanted).partition("==")
            plain = re.split(r"[<>=!~ ]", name)[0].replace("_", "-")
            yield source.with_suffix(".txt"), f"{plain}=={version.strip()}" if exact else f"{plain}=="


def _images(clone: Clone) -> str:
    named = re.findall(r"^\s*image:\s*(\S+)", clone.text("images.compose.yaml"), re.MULTILINE)
    loose = [name for name in named if not PINNED.search(name)]
    return f"pin {', '.join(loose)} in images.compose.yaml" if loose else ""


CHECKLIST: tuple[Line, ...] = (
    ("everything is committed", _clean),
    ("the version is new", _untagged),
    ("program and app have one version", _one_version),
    ("the changelog tells of this version", _changelog),
    ("configuration page and schema are current", _generated),
    ("lock files hold what is required", _locks),
    ("every image is pinned", _images),
)
