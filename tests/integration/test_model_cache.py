"""Weights on a host without a stack around them: downloaded, listed, pruned, and looked at where others put them."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab import small_model
from operate.models import Cache
from planning.models.catalog import resolve_model
from planning.stack_files import plan_of_file, stack_file_of
from quickstart.environment import environment
from tests.integration.conftest import remove_leftovers
from tests.integration.pulumi_project import PASSPHRASE, PROGRAM, REPOSITORY, docker

pytestmark = pytest.mark.integration
MODEL = resolve_model("smollm2-135m-instruct")
EARLIER = ("acme/earlier-1b", "main")
SOURCE = """
import json, os
from components import HostModel, HostModelArgs, ModelCache, ModelCacheArgs
from planning.hosts.images import resolve_image

given = json.loads(open("given.json").read())
common = {"prefix": given["prefix"], "base_image": resolve_image("python")}
weights = ModelCache("models", ModelCacheArgs(
    repo=given["repo"], revision=given["revision"], endpoint=os.environ.get("HF_ENDPOINT"), **common))
if not given["keep_previous"]:
    weights.forget_others(weights.verified)
if given["directory"]:
    HostModel("own", HostModelArgs(directory=given["directory"], **common))
"""


class Program:
    """A program with nothing but weights."""

    def __init__(self, directory: Path):
        self.directory, self.prefix = directory, f"pageindex-weights-{uuid.uuid4().hex[:8]}"
        self.given: dict[str, Any] = {"prefix": self.prefix, "repo": MODEL.repo, "revision": MODEL.revision}
        self.given |= {"keep_previous": True, "directory": ""}
        for name in set(PROGRAM) - {"__main__.py", "stack_file.py", "wiring", "Pulumi.yaml"}:
            (directory / name).symlink_to(REPOSITORY / name)
        (directory / "state").mkdir()
        (directory / "Pulumi.yaml").write_text("name: weights\nruntime: python\n")
        (directory / "__main__.py").write_text(SOURCE)
        backend = {"PULUMI_BACKEND_URL": f"file://{directory}/state", "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE}
        self.environment = {**environment(), **backend}
        self.environment.pop("PULUMI_CONFIG_PASSPHRASE_FILE", None)
        self.pulumi("stack", "init", "s")

    def pulumi(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["pulumi", *arguments, "--non-interactive", "--color", "never"],
            cwd=self.directory, env=self.environment, capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip

    def up(self, **changes: Any) -> subprocess.CompletedProcess[str]:
        self.given.update(changes)
        (self.directory / "given.json").write_text(json.dumps(self.given))
        return self.pulumi("up", "--yes", "--skip-preview")

    def shell(self, script: str) -> str:
        """Run a script on the volume, as root of a container without a network."""
        image = docker("inspect", "--format", "{{.Image}}", f"{self.prefix}-model-fetch")
        mount = ["--volume", f"{self.prefix}-models:/models", "--user", "0", "--entrypoint", "sh"]
        return docker("run", "--rm", "--network", "none", *mount, image, "-c", script)

    def end(self) -> None:
        self.pulumi("destroy", "--yes", "--skip-preview")
        remove_leftovers(self.prefix)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    made = Program(tmp_path_factory.mktemp("weights"))
    try:
        up = made.up()
        assert up.returncode == 0, up.stdout + up.stderr
        yield made
    finally:
        made.end()


@pytest.fixture(autouse=True)
def _daemon(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `make models` finds it."""
    for name, value in environment().items():
        monkeypatch.setenv(name, value)


def put_earlier_model(program: Program) -> None:
    """A copy as an earlier `up` with another model would have left it."""
    directory = f"/models/{EARLIER[0].replace('/', '--')}/{EARLIER[1]}"
    manifest = json.dumps({"repo": EARLIER[0], "revision": EARLIER[1], "commit": "0" * 40, "files": []})
    program.shell(f"mkdir -p {directory} && cd {directory} && echo '{manifest}' > manifest.json && echo 0 > READY")
    program.shell("chown -R 10002:0 /models")


def kept(program: Program, *, prune: bool = False) -> dict[tuple[str, str], str]:
    """What `make models` lists: each copy and who needs it. The stack file is the dev stack's."""
    cache = Cache(dataclasses.replace(plan_of_file(stack_file_of("dev")), prefix=program.prefix))
    assert cache.exists()
    with cache.downloader() as image:
        if prune:
            cache.prune(image)
        copies = cache.copies(image)
    assert all(copy.verified_at for copy in copies)
    return {(copy.repo, copy.revision): copy.used_by for copy in copies}


def test_earlier_weights_stay_until_somebody_prunes_them(program: Program) -> None:
    put_earlier_model(program)
    assert program.up().returncode == 0
    needed = {(MODEL.repo, MODEL.revision): "the stack file"}
    assert kept(program) == {**needed, EARLIER: ""}
    assert kept(program, prune=True) == needed


def test_with_the_setting_an_up_removes_earlier_weights_and_nothing_is_left_to_change(program: Program) -> None:
    put_earlier_model(program)
    up = program.up(keep_previous=False)
    assert up.returncode == 0, up.stdout + up.stderr
    assert set(kept(program)) == {(MODEL.repo, MODEL.revision)}
    preview = program.pulumi("preview", "--refresh", "--expect-no-changes")
    assert preview.returncode == 0, preview.stdout + preview.stderr


def test_weights_that_lie_on_the_host_are_refused_when_one_is_cut_off(program: Program) -> None:
    volume = docker("volume", "inspect", "--format", "{{.Mountpoint}}", f"{program.prefix}-models")
    directory = f"{volume}/{MODEL.repo.replace('/', '--')}/{MODEL.revision}"
    up = program.up(directory=directory)
    assert up.returncode == 0, up.stdout + up.stderr
    copied = f"{directory}-copied"
    program.shell(f"cd /models/*/ && cp -r {MODEL.revision} {MODEL.revision}-copied && rm *-copied/manifest.json && "
                  f"truncate -s -1 *-copied/{small_model.WEIGHTS}")  # fmt: skip
    up = program.up(directory=copied)
    assert up.returncode != 0
    assert f"{small_model.WEIGHTS} has" in up.stdout
    assert "by its own header" in up.stdout
