"""The app's container, killed in the middle of its work, beside a scripted model."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.integration.test_app_container import (
    HARDENED,
    KEY,
    PYTHON_IMAGE,
    READY_S,
    REPOSITORY,
    Rig,
    docker,
)

pytestmark = pytest.mark.integration
JOBS, JOBS_S = 10, 600
SCRIPTED_MODEL = REPOSITORY / "tests/unit/pageindex_app/fake_model.py"


# Runs inside the app's container, the only place on the internal network that has a client.
UPLOAD_ALL = """
import json, sys, httpx
with httpx.Client(base_url="http://127.0.0.1:3000", timeout=60) as client:
    print([client.post("/api/documents", files={"file": file}).status_code for file in json.load(sys.stdin).items()])
"""


def chapters(word: str) -> str:
    """Long enough that the model is asked for each chapter's summary."""
    return "\n\n".join(f"# {word} {n}\n\n" + f"{word} number {n} is described here. " * 60 for n in range(4))


@pytest.fixture
def rig() -> Iterator[Rig]:
    if not docker("version", "--format", "{{.Server.Version}}", ok=False):
        pytest.skip("no Docker daemon answers: python3 -m lab up")
    rig = Rig()
    docker("build", "--quiet", "--tag", rig.name, str(REPOSITORY / "services/pageindex_app"))
    docker("network", "create", "--internal", "--label", rig.name, rig.name)
    try:
        script = SCRIPTED_MODEL.read_text().replace("test-key-of-the-model", KEY).encode()
        rig.fill_volume(f"{rig.name}-files", {"vllm-key": KEY.encode(), "model.py": script})
        files = ("--volume", f"{rig.name}-files:/run/pageindex-stack:ro")
        docker(
            *("run", "--detach", "--name", rig.vllm, "--network", rig.name, "--network-alias", "vllm-0"),
            *HARDENED,
            *files,
            *(PYTHON_IMAGE, "python", "/run/pageindex-stack/model.py"),
        )
        docker(
            *("run", "--detach", "--name", rig.app, "--network", rig.name, *HARDENED, "--memory", "4g"),
            *("--tmpfs", "/tmp:size=16m", "--volume", f"{rig.name}-data:/data", *files, rig.name),
        )
        rig.wait("ready", rig.ready, READY_S)
        yield rig
    finally:
        docker("rm", "--force", "--volumes", rig.app, rig.vllm, ok=False)
        docker("volume", "rm", "--force", f"{rig.name}-data", f"{rig.name}-files", ok=False)
        docker("network", "rm", rig.name, ok=False)
        docker("rmi", "--force", rig.name, ok=False)


def test_killing_the_container_in_the_middle_of_ten_jobs_loses_none_of_them(rig: Rig) -> None:
    files = {f"topic-{number}.md": chapters(f"Topic{number}") for number in range(JOBS)}
    answered = docker("exec", "-i", rig.app, "python", "-c", UPLOAD_ALL, stdin=json.dumps(files).encode())
    assert json.loads(answered) == [202] * JOBS

    def statuses() -> dict[str, str]:
        documents = rig.request("GET", "/api/documents").body["documents"]
        return {document["name"]: document["status"] for document in documents}

    rig.wait("in the middle", lambda: {"ready", "indexing", "queued"} <= set(statuses().values()), JOBS_S)
    docker("kill", rig.app)
    docker("start", rig.app)
    rig.wait("ready", rig.ready, READY_S)
    rig.wait("all indexed", lambda: set(statuses().values()) <= {"ready", "failed"}, JOBS_S)
    assert statuses() == dict.fromkeys(files, "ready")
