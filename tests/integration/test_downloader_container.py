"""The downloader as the stack runs it: built from its Dockerfile, hardened, against the lab's hub on a real engine."""

from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab import engine, hub, images, small_model

pytestmark = pytest.mark.integration

SERVICE = Path(__file__).parents[2] / "services" / "model_downloader"
BASE = "python:3.11-slim-bookworm"
REPO = "HuggingFaceTB/SmolLM2-135M-Instruct"
COMMIT = "12fd25f77366fa6b3b4b768ec3050bf629380bac"
HARDENING = ["--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]


@dataclass
class Place:
    """A volume and a bridge of this test, and the downloader's image on the engine."""

    docker_host: str
    endpoint: str
    image: str
    volume: str
    network: str

    def docker(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        command = ["docker", "--host", self.docker_host, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=check, timeout=600)

    def downloader(
        self, *arguments: str, network: str | None = None, environment: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        settings = {
            "MODEL_REPO": REPO,
            "MODEL_REVISION": COMMIT,
            "HF_ENDPOINT": self.endpoint,
            "MODEL_TIMEOUT_S": "300",
        }
        given = [f"--env={name}={value}" for name, value in (settings | (environment or {})).items()]
        where = ["--network", network or self.network, "--volume", f"{self.volume}:/models"]
        return self.docker("run", "--rm", *HARDENING, *where, *given, self.image, *arguments, check=False)

    def shell(self, script: str, user: str = "2000:0", mode: str = "ro") -> str:
        """Run a script as the user that vLLM has, with the volume as vLLM has it."""
        mount = ["--volume", f"{self.volume}:/models:{mode}", "--user", user, "--entrypoint", "sh"]
        return self.docker("run", "--rm", "--network", "none", *mount, self.image, "-c", script).stdout


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    docker_host = engine.ensure()
    images.ensure([BASE], docker_host)
    endpoint = hub.ensure(docker_host)
    mark = uuid.uuid4().hex[:8]
    made = Place(docker_host, endpoint, f"test-downloader:{mark}", f"test-models-{mark}", f"test-egress-{mark}")
    try:
        made.docker("build", "--quiet", "--build-arg", f"PYTHON_IMAGE={BASE}", "--tag", made.image, str(SERVICE))
        made.docker("network", "create", made.network)
        yield made
    finally:
        made.docker("volume", "rm", "--force", made.volume, check=False)
        made.docker("network", "rm", made.network, check=False)
        made.docker("image", "rm", "--force", made.image, check=False)


def test_the_model_arrives_is_proven_offline_and_a_changed_byte_is_refused(place):
    first = place.downloader()
    assert first.returncode == 0, first.stdout + first.stderr
    summary = json.loads(first.stdout.splitlines()[-1])
    assert (summary["verified"], summary["commit"]) == ("downloaded", COMMIT)
    assert summary["bytes"] > 269_000_000

    second = place.downloader(network="none")
    assert second.returncode == 0, second.stdout + second.stderr
    assert json.loads(second.stdout.splitlines()[-1])["verified"] == "offline"

    directory = f"/models/HuggingFaceTB--SmolLM2-135M-Instruct/{COMMIT}"
    listed = place.shell(f"cd {directory} && sha256sum model.safetensors && ls -A").split()
    if place.endpoint == hub.endpoint_in_use():
        assert listed[0] == small_model.WEIGHTS_SHA256
    assert {"READY", "manifest.json", "config.json", "tokenizer.json"} <= set(listed)
    assert not {".cache", "training_args.bin", "README.md"} & set(listed)

    place.shell(f"printf x | dd of={directory}/model.safetensors bs=1 seek=100000 conv=notrunc", "10002:0", "rw")
    third = place.downloader(network="none")
    assert third.returncode == 3
    assert "model.safetensors has changed: expected sha256" in third.stderr

    forgotten = place.downloader("forget", REPO, COMMIT, network="none")
    assert forgotten.returncode == 0, forgotten.stderr
    assert place.shell("ls -A /models").split() == [".locks"]


def test_without_a_way_out_it_says_so_and_stops(place):
    outcome = place.downloader(network="none", environment={"MODEL_REPO": "acme/never-downloaded"})
    assert outcome.returncode == 4
    assert f"{place.endpoint} cannot be reached" in outcome.stderr


def test_a_gated_model_comes_with_the_token_from_a_file(place):
    if place.endpoint != hub.endpoint_in_use():
        pytest.skip("the real hub's gates are not ours to set")
    hub.admin("PUT", "/access", {"gated": {"acme/gated": ["hf_of_the_test"]}})
    settings = {"MODEL_REPO": "acme/gated", "MODEL_REVISION": "main"}
    try:
        without = place.downloader(environment=settings)
        assert without.returncode == 4
        assert "gated and no token is set" in without.stderr
        place.shell("umask 077; printf hf_of_the_test > /models/token", "10002:0", "rw")
        given = place.downloader(environment=settings | {"HF_TOKEN_FILE": "/models/token"})
        assert given.returncode == 0, given.stderr
        assert "hf_of_the_test" not in given.stdout + given.stderr
    finally:
        hub.admin("PUT", "/access", {})
        place.downloader("forget", "acme/gated", "main", network="none")
