"""What lies on the volume is listed, and what nobody needs is removed, and nothing else."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from tests.unit.downloader.conftest import COMMIT, FILES, REPO, Downloader

OTHER = ("acme/other-1b", "main")


@pytest.fixture
def two(downloader: Downloader) -> Downloader:
    """The model, and one that was served before."""
    assert downloader().code == 0
    assert downloader(MODEL_REPO=OTHER[0], MODEL_REVISION=OTHER[1]).code == 0
    return downloader


def listed(downloader: Downloader) -> list[dict[str, Any]]:
    outcome = downloader("list")
    assert outcome.code == 0, outcome.err
    found: list[dict[str, Any]] = json.loads(outcome.out.splitlines()[-1])
    return found


def test_each_copy_is_listed_with_size_and_when_it_was_verified(two: Downloader) -> None:
    found = {(entry["repo"], entry["revision"]): entry for entry in listed(two)}
    assert set(found) == {(REPO, COMMIT), OTHER}
    entry = found[(REPO, COMMIT)]
    assert entry["commit"] == COMMIT
    assert entry["complete"]
    assert entry["bytes"] >= sum(map(len, FILES.values()))
    assert entry["verified_at"].endswith("+00:00")


def test_a_proof_is_dated_when_it_was_made(two: Downloader) -> None:
    ready = two.directory / "READY"
    os.utime(ready, (0, 0))
    assert [entry["verified_at"] for entry in listed(two) if entry["repo"] == REPO] == ["1970-01-01T00:00:00+00:00"]
    assert two("verify").code == 0
    assert "1970" not in str(listed(two))


def test_an_unfinished_download_is_listed_as_one(downloader: Downloader) -> None:
    partial = downloader.directory.parent / f".partial-{COMMIT}"
    partial.mkdir(parents=True)
    (partial / "model.safetensors").write_bytes(b"x" * 1000)
    assert listed(downloader) == [
        {"repo": REPO, "revision": "", "commit": COMMIT, "bytes": 1000, "complete": False, "verified_at": None}
    ]


def test_a_copy_with_a_damaged_manifest_is_listed_by_its_place(two: Downloader) -> None:
    (two.directory / "manifest.json").write_text("{")
    assert (REPO, COMMIT) in {(entry["repo"], entry["revision"]) for entry in listed(two)}


def test_prune_keeps_what_is_named_and_removes_the_rest(two: Downloader) -> None:
    partial = two.directory.parent / f".partial-{'0' * 40}"
    partial.mkdir()
    (partial / "model.safetensors").write_bytes(b"x" * 1000)
    outcome = two("prune", "--keep", REPO, COMMIT)
    assert outcome.code == 0, outcome.err
    assert sorted(outcome.summary["removed"]) == [list(OTHER), [REPO, ""]]
    assert outcome.summary["freed_bytes"] > 1000
    assert [(entry["repo"], entry["revision"]) for entry in listed(two)] == [(REPO, COMMIT)]
    assert not (two.models / "acme--other-1b").exists()
    assert two("verify").code == 0


def test_prune_wants_to_know_what_to_keep(two: Downloader) -> None:
    with pytest.raises(SystemExit):
        two("prune")
    assert len(listed(two)) == 2


def test_an_empty_volume_has_nothing(downloader: Downloader) -> None:
    assert listed(downloader) == []
