"""The app's image, built and run as the stack runs it: hardened, on an internal network, beside a real vLLM."""

from __future__ import annotations

import base64
import io
import json
import shutil
import subprocess
import tarfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from lab import small_model

pytestmark = pytest.mark.integration

REPOSITORY = Path(__file__).resolve().parents[2]
SAMPLES = REPOSITORY / "samples"
PYTHON_IMAGE = "python:3.11-slim-bookworm"
VLLM_IMAGE = "vllm/vllm-openai-cpu:v0.32.0-x86_64"
KEY = "key-of-the-app-container-test"
HARDENED = ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
VLLM_READY_S, READY_S, INDEXED_S = 600, 120, 600  # two cores that other tests use as well

# Runs inside the app's container, the only place on the internal network that has a client.
CLIENT = """
import base64, json, sys, httpx
ask = json.load(sys.stdin)
files = {"file": (ask["file"]["name"], base64.b64decode(ask["file"]["content"]))} if ask.get("file") else None
url = "http://127.0.0.1:3000" + ask["path"]
reply = httpx.request(ask["method"], url, json=ask.get("json"), files=files, timeout=300)
print(json.dumps({"status": reply.status_code, "headers": dict(reply.headers), "text": reply.text}))
"""


def docker(*arguments: str, ok: bool = True, stdin: bytes | None = None) -> str:
    done = subprocess.run(["docker", *arguments], input=stdin, capture_output=True, timeout=900)
    if ok and done.returncode:
        raise AssertionError(f"docker {' '.join(arguments)[:200]}: {done.stderr.decode()[-2000:]}")
    return done.stdout.decode().strip()


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: Any


@dataclass
class Rig:
    """Two containers, their network and their volumes, all named after one run."""

    name: str = field(default_factory=lambda: f"app-test-{uuid.uuid4().hex[:8]}")

    @property
    def app(self) -> str:
        return f"{self.name}-app"

    @property
    def vllm(self) -> str:
        return f"{self.name}-vllm"

    def request(self, method: str, path: str, body: Any = None, file: Path | None = None, name: str = "") -> Reply:
        ask: dict[str, Any] = {"method": method, "path": path, "json": body}
        if file is not None:
            ask["file"] = {"name": name or file.name, "content": base64.b64encode(file.read_bytes()).decode()}
        out = docker("exec", "-i", self.app, "python", "-c", CLIENT, stdin=json.dumps(ask).encode())
        reply = json.loads(out)
        return Reply(reply["status"], reply["headers"], json.loads(reply["text"]) if reply["text"] else None)

    def wait(self, what: str, done: Callable[[], bool], within_s: float) -> None:
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            if done():
                return
            time.sleep(0.5)  # between two looks; the deadline decides
        logs = docker("logs", "--tail", "30", self.app, ok=False), docker("logs", "--tail", "30", self.vllm, ok=False)
        raise AssertionError(f"not {what} within {within_s:.0f} s\n{logs[0]}\n{logs[1]}")

    def settled(self, document_id: str) -> dict[str, Any]:
        """The document once it is ready or failed."""
        found: dict[str, Any] = {}

        def look() -> bool:
            found.update(self.request("GET", f"/api/documents/{document_id}").body)
            return found["status"] in ("ready", "failed")

        self.wait(f"indexed ({document_id})", look, INDEXED_S)
        return found

    def ready(self) -> bool:
        try:
            return self.request("GET", "/ready").status == 200
        except AssertionError:  # not even listening yet
            return False

    def stored_files(self) -> set[str]:
        found = docker("exec", self.app, "find", "/data", "-type", "f", "-not", "-name", ".lock").splitlines()
        return {path for path in found if not path.endswith("manifest.json")}

    def fill_volume(self, volume: str, files: dict[str, Path | bytes]) -> None:
        """Through a container's stdin, because the daemon may not see this machine's files."""
        docker("volume", "create", "--label", self.name, volume)
        unpack = ["docker", "run", "--rm", "-i", "-v", f"{volume}:/to", PYTHON_IMAGE, "tar", "-x", "-C", "/to"]
        with subprocess.Popen(unpack, stdin=subprocess.PIPE) as process:
            assert process.stdin
            with tarfile.open(fileobj=process.stdin, mode="w|") as tar:
                for name, content in files.items():
                    info = tarfile.TarInfo(name)
                    info.mode, info.uid, info.gid = 0o444, 0, 0
                    if isinstance(content, Path):
                        info.size = content.stat().st_size
                        with content.open("rb") as source:
                            tar.addfile(info, source)
                    else:
                        info.size = len(content)
                        tar.addfile(info, io.BytesIO(content))
        assert process.returncode == 0


def missing() -> str:
    """What is not there to run these tests, or nothing."""
    if shutil.which("docker") is None or not docker("version", "--format", "{{.Server.Version}}", ok=False):
        return "no Docker daemon answers"
    for image in (PYTHON_IMAGE, VLLM_IMAGE):
        if not docker("image", "ls", "--quiet", image):
            return f"image {image} is not there"
    return "" if small_model.model_dir().is_dir() else "the small model is not made"


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    if reason := missing():
        pytest.skip(f"{reason}: python3 -m lab up")
    rig = Rig()
    docker("build", "--quiet", "--tag", rig.name, str(REPOSITORY / "services/pageindex_app"))
    docker("network", "create", "--internal", "--label", rig.name, rig.name)
    try:
        model = {path.name: path for path in small_model.model_dir().iterdir() if path.is_file()}
        rig.fill_volume(f"{rig.name}-model", {**model})
        rig.fill_volume(f"{rig.name}-files", {"vllm-key": KEY.encode()})
        start_vllm(rig)
        docker(
            *("run", "--detach", "--name", rig.app, "--network", rig.name, "--network-alias", "pageindex"),
            *HARDENED,
            *("--tmpfs", "/tmp:size=16m", "--volume", f"{rig.name}-data:/data"),
            *("--volume", f"{rig.name}-files:/run/pageindex-stack:ro", "--env", "CONTEXT_TOKENS=4096", rig.name),
        )
        rig.wait("ready", rig.ready, VLLM_READY_S)
        yield rig
    finally:
        docker("rm", "--force", "--volumes", rig.app, rig.vllm, ok=False)
        docker("volume", "rm", "--force", *[f"{rig.name}-{v}" for v in ("data", "model", "files")], ok=False)
        docker("network", "rm", rig.name, ok=False)
        docker("rmi", "--force", rig.name, ok=False)


def start_vllm(rig: Rig) -> None:
    docker(
        *("run", "--detach", "--name", rig.vllm, "--network", rig.name, "--network-alias", "vllm-0"),
        *HARDENED,
        *("--user", "2000:0", "--tmpfs", "/tmp:exec", "--tmpfs", "/home/vllm:exec,uid=2000", "--shm-size", "1g"),
        *("--env", "HOME=/home/vllm", "--env", "VLLM_CPU_KVCACHE_SPACE=1", "--env", "HF_HUB_OFFLINE=1"),
        *("--env", "VLLM_NO_USAGE_STATS=1", "--env", f"VLLM_API_KEY={KEY}"),
        *("--volume", f"{rig.name}-model:/model:ro", VLLM_IMAGE, "--model", "/model", "--served-model-name", "default"),
        *("--max-model-len", "4096", "--max-num-seqs", "8", "--enforce-eager"),
        *("--override-generation-config", '{"max_new_tokens": 128}'),
    )


def test_a_pdf_is_indexed_and_a_question_answered_from_its_page(rig: Rig) -> None:
    uploaded = rig.request("POST", "/api/documents", file=SAMPLES / "harbour-report-2025.pdf")
    assert uploaded.status == 202, uploaded.body
    assert rig.settled(uploaded.body["id"])["status"] == "ready"
    tree = rig.request("GET", f"/api/documents/{uploaded.body['id']}/tree").body["tree"]
    assert all(node["summary"] for node in tree)
    reply = rig.request("POST", "/api/ask", {"question": "How deep is the approach channel at lowest tide?"})
    assert reply.status == 200
    assert "11.8" in reply.body["answer"]
    assert [citation["pages"] for citation in reply.body["citations"]] == [[4]]
    assert "11.8 metres" in reply.body["citations"][0]["quote"]


def test_a_text_is_answered_from_and_forgotten(rig: Rig) -> None:
    before = rig.stored_files()
    manual = (SAMPLES / "tide-buoy-manual.md").read_text()
    reply = rig.request(
        "POST", "/api/process", {"document": manual, "query": "What is the default access code of the receiver?"}
    )
    assert "7731" in reply.body["answer"]
    assert reply.body["citations"][0]["pages"] == [6]
    assert rig.stored_files() == before


def test_it_runs_as_nobody_on_a_root_it_cannot_write_without_a_way_out(rig: Rig) -> None:
    assert docker("exec", rig.app, "sh", "-c", "id -u; id -g").split() == ["10001", "0"]
    assert docker("exec", rig.app, "sh", "-c", "touch /app/x 2>&1 || true").endswith("Read-only file system")
    probe = "import socket; socket.setdefaulttimeout(3); socket.create_connection(('1.1.1.1', 443))"
    assert docker("exec", rig.app, "sh", "-c", f'python -c "{probe}" 2>/dev/null && echo out || echo in') == "in"


def test_neither_the_key_nor_the_documents_words_are_in_the_log(rig: Rig) -> None:
    log = docker("logs", rig.app)
    lines = [json.loads(line) for line in log.splitlines()]
    assert any(line["message"] == "request" and line["path"] == "/api/ask" for line in lines)
    for forbidden in (KEY, "Halvorsen", "lowest tide", "access code"):
        assert forbidden not in log
