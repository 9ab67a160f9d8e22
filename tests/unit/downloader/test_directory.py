"""Weights that somebody else copied to the host: what is missing, cut off or changed is said before vLLM starts."""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.downloader.conftest import Downloader

Damage = Callable[[Path], object]


def safetensors(*names: str) -> bytes:
    """A file with a tensor of 16 bytes for each name."""
    header = json.dumps(
        {"__metadata__": {}}
        | {
            name: {"dtype": "F32", "shape": [4], "data_offsets": [16 * at, 16 * at + 16]}
            for at, name in enumerate(names)
        }
    ).encode()
    return struct.pack("<Q", len(header)) + header + bytes(16 * len(names))


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Two files and their index, as the hub has them."""
    directory = tmp_path / "weights"
    directory.mkdir()
    (directory / "config.json").write_text("{}")
    first, second = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
    (directory / first).write_bytes(safetensors("a", "b"))
    (directory / second).write_bytes(safetensors("c"))
    index = {"weight_map": {"a": first, "b": first, "c": second}}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index))
    return directory


def test_whole_weights_pass(downloader: Downloader, weights: Path) -> None:
    outcome = downloader("check", str(weights))
    assert outcome.code == 0, outcome.err
    assert outcome.summary["files"] == 2
    assert outcome.summary["verified"] == "sizes"


def test_one_file_without_an_index_passes(downloader: Downloader, weights: Path) -> None:
    for path in weights.glob("model*"):
        path.unlink()
    (weights / "model.safetensors").write_bytes(safetensors("a"))
    assert downloader("check", str(weights)).code == 0


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda at: (at / "config.json").unlink(), "config.json is missing"),
        (lambda at: (at / "config.json").write_text("{"), "config.json is not JSON"),
        (lambda at: (at / "model-00002-of-00002.safetensors").unlink(), "model-00002-of-00002.safetensors is missing"),
        (
            lambda at: [
                (at / "model.safetensors.index.json").unlink(),
                (at / "model-00001-of-00002.safetensors").unlink(),
            ],
            "model-00001-of-00002.safetensors is missing: model-00002-of-00002.safetensors is one of 2",
        ),
        (lambda at: os.truncate(at / "model-00001-of-00002.safetensors", 100), "is not a safetensors file"),
        (lambda at: _cut(at / "model-00002-of-00002.safetensors"), "bytes, by its own header"),
        (lambda at: (at / "model-00002-of-00002.safetensors").write_bytes(safetensors("d")), "tensor c of"),
        (lambda at: (at / "model-00002-of-00002.safetensors").write_bytes(b""), "is not a safetensors file"),
        (lambda at: [path.unlink() for path in at.glob("*.safetensors")], "has no safetensors files"),
        (lambda at: (at / "model.safetensors.index.json").write_text("{}"), "has no weight_map"),
    ],
)
def test_what_is_missing_or_cut_off_is_named(downloader: Downloader, weights: Path, damage: Damage, words: str) -> None:
    damage(weights)
    outcome = downloader("check", str(weights))
    assert outcome.code == 3
    assert words in outcome.err
    assert "mend:" in outcome.err


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def test_a_manifest_beside_the_weights_vouches_for_their_content(downloader: Downloader, weights: Path) -> None:
    files = list(weights.iterdir())
    records = [{"path": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()} for path in files]
    (weights / "manifest.json").write_text(json.dumps({"files": records}))
    assert downloader("check", str(weights)).summary["verified"] == "sha256"
    with (weights / "model-00002-of-00002.safetensors").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\1")
    outcome = downloader("check", str(weights))
    assert outcome.code == 3
    assert "model-00002-of-00002.safetensors has changed: expected sha256" in outcome.err


def test_another_programs_manifest_says_nothing(downloader: Downloader, weights: Path) -> None:
    (weights / "manifest.json").write_text('{"files": {"config.json": 2}}')
    assert downloader("check", str(weights)).summary["verified"] == "sizes"


def test_a_directory_that_is_not_there_is_a_bad_argument(downloader: Downloader, tmp_path: Path) -> None:
    assert downloader("check", str(tmp_path / "nothing")).code == 2
