"""An empty cache and a PATH without Pulumi, so that no test sees what this machine has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from toolchain.installation import folder
from toolchain.parts import PARTS, Part


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    cache = tmp_path / "a cache"
    monkeypatch.setenv("PAGEINDEX_STACK_CACHE", str(cache))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    return cache


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str, str], Path]:
    """Make a small shell program of that name; returns the folder it is in."""

    def make(name: str, script: str) -> Path:
        bin_dir = tmp_path / f"bin-of-{name}"
        bin_dir.mkdir(exist_ok=True)
        (bin_dir / name).write_text(f"#!/bin/sh\n{script}\n")
        (bin_dir / name).chmod(0o755)
        return bin_dir

    return make


@pytest.fixture
def built() -> Callable[..., None]:
    """Put a finished build of each part into the cache."""

    def make(parts: tuple[Part, ...] = PARTS) -> None:
        for part in parts:
            into = part.installed_in(folder())
            into.mkdir(parents=True)
            (into / part.binary).write_text(part.title)
            if part.script:
                (into / Path(part.script).name).write_text("script")

    return make
