"""The app's image, built and run as the stack runs it: hardened, on an internal network, beside a scripted model.

Takes over 60 s because the app's image is built and a document is indexed.
"""

from __future__ import annotations

import base64
import io
import json
import subprocess
import tarfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.integration

REPOSITORY = Path(__file__).resolve().parents[2]
SAMPLES = REPOSITORY / "samples"
PYTHON_IMAGE = "python:3.11-slim-bookworm"
SCRIPTED_MODEL = REPOSITORY / "tests/unit/pageindex_app/fake_model.py"
KEY = "key-of-the-app-container-test"
HARDENED = ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
READY_S, INDEXED_S = 120, 600  # two cores that other tests use as well
JOBS = 10

# Runs inside the app's container, the only place on the internal network that has a client.
CLIENT = """
import base64, json, sys, httpx
ask = json.load(sys.stdin)
files = {"file": (ask["file"]["name"], base64.b64decode(ask["file"]["content"]))} if ask.get("file") else None
url = "http://127.0.0.1:3000" + ask["path"]
reply = httpx.request(ask["method"], url, json=ask.get("json"), files=files, timeout=300)
print(json.dumps({"status": reply.status_code, "headers": dict(reply.headers), "text": reply.text}))
"""


UPLOAD_ALL = """
import json, sys, httpx
with httpx.Client(base_url="http://127.0.0.1:3000", timeout=60) as client:
    print([client.post("/api/documents", files={"file": file}).status_code for file in json.load(sys.stdin).items()])
"""
QUESTION = "How deep is the approach channel at lowest tide?"


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
    def model(self) -> str:
        return f"{self.name}-model"

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
        logs = docker("logs", "--tail", "30", self.app, ok=False), docker("logs", "--tail", "30", self.model, ok=False)
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


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    rig = Rig()
    docker("build", "--quiet", "--tag", rig.name, str(REPOSITORY / "services/pageindex_app"))
    docker("network", "create", "--internal", "--label", rig.name, rig.name)
    try:
        script = SCRIPTED_MODEL.read_text().replace("test-key-of-the-model", KEY).encode()
        rig.fill_volume(f"{rig.name}-files", {"vllm-key": KEY.encode(), "model.py": script})
        files = ("--volume", f"{rig.name}-files:/run/pageindex-stack:ro")
        docker(
            *("run", "--detach", "--name", rig.model, "--network", rig.name, "--network-alias", "model"),
            *HARDENED,
            *files,
            *(PYTHON_IMAGE, "python", "/run/pageindex-stack/model.py"),
        )
        docker(
            *("run", "--detach", "--name", rig.app, "--network", rig.name, *HARDENED, "--memory", "4g"),
            *("--tmpfs", "/tmp:size=16m", "--volume", f"{rig.name}-data:/data", *files),
            *("--env", "VLLM_BASE_URL=http://model:8000/v1", rig.name),
        )
        rig.wait("ready", rig.ready, READY_S)
        yield rig
    finally:
        docker("rm", "--force", "--volumes", rig.app, rig.model, ok=False)
        docker("volume", "rm", "--force", f"{rig.name}-data", f"{rig.name}-files", ok=False)
        docker("network", "rm", rig.name, ok=False)
        docker("rmi", "--force", rig.name, ok=False)


def upload(rig: Rig, name: str) -> str:
    """The document's id; whatever another test did, it is ready."""
    uploaded = rig.request("POST", "/api/documents", file=SAMPLES / name)
    assert uploaded.status in (200, 202), uploaded.body
    assert rig.settled(uploaded.body["id"])["status"] == "ready"
    return str(uploaded.body["id"])


def chapters(word: str) -> str:
    """Long enough that the model is asked for each chapter's summary."""
    return "\n\n".join(f"# {word} {n}\n\n" + f"{word} number {n} is described here. " * 60 for n in range(4))


def test_a_pdf_is_indexed_and_a_question_answered_from_its_page(rig: Rig) -> None:
    document = upload(rig, "harbour-report-2025.pdf")
    tree = rig.request("GET", f"/api/documents/{document}/tree").body["tree"]
    assert all(node["summary"] for node in tree)
    reply = rig.request("POST", "/api/ask", {"question": QUESTION, "document_ids": [document]})
    assert reply.status == 200
    assert "11.8" in reply.body["answer"]
    assert [citation["pages"] for citation in reply.body["citations"]] == [[4]]
    assert "11.8 metres" in reply.body["citations"][0]["quote"]


def test_it_runs_as_nobody_on_a_root_it_cannot_write_without_a_way_out(rig: Rig) -> None:
    assert docker("exec", rig.app, "sh", "-c", "id -u; id -g").split() == ["10001", "0"]
    assert docker("exec", rig.app, "sh", "-c", "touch /app/x 2>&1 || true").endswith("Read-only file system")
    routes = docker("exec", rig.app, "cat", "/proc/net/route").splitlines()[1:]
    destinations = [route.split()[1] for route in routes]
    assert destinations
    assert "00000000" not in destinations, "a default route"


def test_neither_the_key_nor_the_documents_words_are_in_the_log(rig: Rig) -> None:
    document = upload(rig, "harbour-report-2025.pdf")
    assert rig.request("POST", "/api/ask", {"question": QUESTION, "document_ids": [document]}).status == 200
    log = docker("logs", rig.app)
    lines = [json.loads(line) for line in log.splitlines()]
    assert any(line["message"] == "request" and line["path"] == "/api/ask" for line in lines)
    for forbidden in (KEY, "Halvorsen", "lowest tide", "metres"):
        assert forbidden not in log


def test_killing_the_container_in_the_middle_of_ten_jobs_loses_none_of_them(rig: Rig) -> None:
    files = {f"topic-{number}.md": chapters(f"Topic{number}") for number in range(JOBS)}
    answered = docker("exec", "-i", rig.app, "python", "-c", UPLOAD_ALL, stdin=json.dumps(files).encode())
    assert json.loads(answered) == [202] * JOBS

    def statuses() -> dict[str, str]:
        documents = rig.request("GET", "/api/documents").body["documents"]
        return {document["name"]: document["status"] for document in documents if document["name"] in files}

    rig.wait("in the middle", lambda: {"ready", "indexing", "queued"} <= set(statuses().values()), INDEXED_S)
    docker("kill", rig.app)
    docker("start", rig.app)
    rig.wait("ready", rig.ready, READY_S)
    rig.wait("all indexed", lambda: set(statuses().values()) <= {"ready", "failed"}, INDEXED_S)
    assert statuses() == dict.fromkeys(files, "ready")


def test_without_a_model_everything_says_so_and_goes_on_when_it_is_back(rig: Rig) -> None:
    docker("kill", rig.model)
    try:
        ready = rig.request("GET", "/ready")
        assert (ready.status, ready.body["checks"]["vllm"]["reason"]) == (503, "it does not answer")
        assert rig.request("GET", "/health").status == 200
        reply = rig.request("POST", "/api/process", {"document": "# A\n\nb\n\n# C\n\nd", "query": "What is b?"})
        assert (reply.status, reply.body["error"]["code"]) == (503, "model_unavailable")
        assert reply.headers["retry-after"] == "10"
        uploaded = rig.request("POST", "/api/documents", file=SAMPLES / "warehouse-lease.pdf")
        assert uploaded.status == 202
        path = f"/api/documents/{uploaded.body['id']}"
        rig.wait("told", lambda: "model_unavailable" in json.dumps(rig.request("GET", path).body), READY_S)
    finally:
        docker("start", rig.model)
    rig.wait("ready", rig.ready, READY_S)
    assert rig.settled(uploaded.body["id"])["status"] == "ready"
