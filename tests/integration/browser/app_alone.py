"""The app alone, without gateway and stack: its own process, before a scripted model server."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx

from machine.python_env import APP_TESTS
from tests.integration.pulumi_project import REPOSITORY, free_port

APP_TESTS_FOLDER = REPOSITORY / "tests" / "unit" / "pageindex_app"
SERVICE = REPOSITORY / "services" / "pageindex_app"
STARTED_WITHIN_S, INDEXED_WITHIN_S = 60, 180


def fake_model_module() -> ModuleType:
    """The scripted model of the app's unit tests; it needs nothing but the standard library."""
    spec = importlib.util.spec_from_file_location("fake_model", APP_TESTS_FOLDER / "fake_model.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["fake_model"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@dataclass
class App:
    """A running app, and the model behind it."""

    url: str
    model: Any

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=30, trust_env=False)

    def upload(self, *files: tuple[str, bytes]) -> None:
        with self.client() as client:
            for file in files:
                assert client.post("/api/documents", files={"file": file}).status_code in (200, 202)

    def all_indexed(self, count: int) -> list[dict[str, Any]]:
        """The documents, once so many are there and none is in work any more."""
        deadline = time.monotonic() + INDEXED_WITHIN_S
        documents: list[dict[str, Any]] = []
        with self.client() as client:
            while time.monotonic() < deadline:
                documents = client.get("/api/documents").json()["documents"]
                if len(documents) >= count and all(doc["status"] in ("ready", "failed") for doc in documents):
                    return documents
                time.sleep(0.2)  # between two looks
        raise AssertionError(f"not indexed: {documents}")

    def scripted(self) -> None:
        """The model does as it should, at once."""
        self.model.answer = _as_it_should
        self.model.failing, self.model.delay_s, self.model.delay_per_token_s = None, 0.0, 0.0

    def empty(self) -> None:
        with self.client() as client:
            for doc in client.get("/api/documents").json()["documents"]:
                client.delete(f"/api/documents/{doc['id']}")
            for conversation in client.get("/api/conversations").json()["conversations"]:
                client.delete(f"/api/conversations/{conversation['id']}")


def _as_it_should(body: dict[str, Any]) -> str:
    """A sentence for a document's description, which is shown; the unit tests' rules for everything else."""
    prompt = str(body["messages"][-1].get("content") or "")
    if "description" in prompt:
        return "What this document is about, in one sentence of the model."
    plain = sys.modules["fake_model"].FakeModel()
    return str(plain.reply(body))


@contextmanager
def app_alone(folder: Path) -> Iterator[App]:
    """Serve until the block ends; documents lie under ``folder``."""
    module = fake_model_module()
    with module.fake_model() as model:
        key_file = folder / "vllm-key"
        key_file.write_text(module.KEY)
        port = free_port()
        environment = {
            **os.environ,
            "PYTHONPATH": str(SERVICE),
            "VLLM_BASE_URL": model.url,
            "VLLM_API_KEY_FILE": str(key_file),
            "DATA_DIR": str(folder / "data"),
            "HOST": "127.0.0.1",
            "PORT": str(port),
        }
        with (folder / "app.log").open("wb") as log:
            process = subprocess.Popen(
                [APP_TESTS.python(), "-m", "pageindex_app"], env=environment, stdout=log, stderr=log
            )
            try:
                url = f"http://127.0.0.1:{port}"
                _await_start(url, process, folder / "app.log")
                yield App(url, model)
            finally:
                process.terminate()
                process.wait(30)


def _await_start(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + STARTED_WITHIN_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"{url}/health", trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)  # between two looks
    raise AssertionError(f"the app does not start:\n{log.read_text()[-3000:]}")


def app_python(code: str) -> bytes:
    """Run Python with the app's test dependencies, beside its tests' helpers."""
    done = subprocess.run([APP_TESTS.python(), "-c", code], cwd=APP_TESTS_FOLDER, capture_output=True, check=True)
    return done.stdout
