"""A hub of the lab in this process, with a model of a few KB, and the downloader against it."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

# The Hub's client reads these when it is imported; the container's Dockerfile sets them too.
os.environ |= {
    "HF_HUB_DISABLE_XET": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DOWNLOAD_TIMEOUT": "2",
    "HF_HUB_ETAG_TIMEOUT": "2",
}

from lab.hub_server import HubServer
from lab.hub_store import Snapshot, Store

REPO = "acme/small-1b"
COMMIT = "12fd25f77366fa6b3b4b768ec3050bf629380bac"
FILES = {
    "config.json": b'{"model_type": "llama"}\n',
    "generation_config.json": b"{}\n",
    "model.safetensors": bytes(range(256)) * 64,
    "tokenizer.json": b'{"version": "1.0"}\n',
    "tokenizer_config.json": b"{}\n",
}


@pytest.fixture
def upstream(tmp_path: Path) -> Path:
    """The model as its author holds it."""
    directory = tmp_path / "upstream"
    directory.mkdir()
    for name, content in FILES.items():
        (directory / name).write_bytes(content)
    return directory


@pytest.fixture
def serve() -> Iterator[Callable[[Path], HubServer]]:
    servers: list[HubServer] = []

    def start(directory: Path) -> HubServer:
        server = HubServer(("127.0.0.1", 0), Store(default=Snapshot.of(directory)))
        servers.append(server)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return server

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def hub(serve: Callable[[Path], HubServer], upstream: Path) -> HubServer:
    return serve(upstream)


@dataclass
class Outcome:
    code: int
    out: str
    err: str

    @property
    def summary(self) -> dict[str, Any]:
        return json.loads(self.out.splitlines()[-1])


@dataclass
class Downloader:
    """The command as the container runs it, in this process."""

    environment: dict[str, str]
    capture: pytest.CaptureFixture[str]

    @property
    def models(self) -> Path:
        return Path(self.environment["MODELS_DIR"])

    @property
    def directory(self) -> Path:
        repo, revision = self.environment["MODEL_REPO"], self.environment["MODEL_REVISION"]
        return self.models / repo.replace("/", "--") / revision

    def __call__(self, *arguments: str, **environment: str) -> Outcome:
        from model_downloader.cli import main

        self.capture.readouterr()
        code = main(arguments, self.environment | environment)
        return Outcome(code, *self.capture.readouterr())


@pytest.fixture
def downloader(
    hub: HubServer, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Downloader:
    monkeypatch.setattr("model_downloader.hub.FIRST_WAIT_S", 0.01)
    monkeypatch.setattr("model_downloader.progress.LOOK_EVERY_S", 0.05)
    models = tmp_path / "models"
    models.mkdir()
    environment = {
        "MODEL_REPO": REPO,
        "MODEL_REVISION": COMMIT,
        "HF_ENDPOINT": hub.endpoint,
        "MODEL_TIMEOUT_S": "60",
        "MODELS_DIR": str(models),
        "HF_TOKEN_FILE": str(tmp_path / "hf-token"),
    }
    return Downloader(environment, capsys)
