"""A copy that is not what was downloaded is refused, with the file's name and the command that mends it."""

from __future__ import annotations

import hashlib

import pytest

WEIGHTS = "model.safetensors"


@pytest.fixture
def ready(downloader, hub):
    """A proven copy, and from now on no request may be made."""
    assert downloader().code == 0
    hub.requests.clear()
    yield downloader
    assert not hub.requests


@pytest.mark.parametrize("command", ["fetch", "verify"])
def test_a_flipped_byte_is_refused_with_name_expected_got_and_what_mends_it(ready, command):
    path = ready.directory / WEIGHTS
    content = bytearray(path.read_bytes())
    expected = hashlib.sha256(content).hexdigest()
    content[1000] ^= 1
    path.write_bytes(content)
    outcome = ready(command, MODEL_FORGET_COMMAND="docker run --rm -v v:/models image forget")
    assert outcome.code == 3
    assert str(path) in outcome.err
    assert expected in outcome.err
    assert hashlib.sha256(content).hexdigest() in outcome.err
    assert "docker run --rm -v v:/models image forget acme/small-1b " in outcome.err
    assert path.read_bytes() == content, "it is evidence: nobody repairs it silently"


def test_a_truncated_file_is_refused(ready):
    path = ready.directory / WEIGHTS
    path.write_bytes(path.read_bytes()[:100])
    outcome = ready()
    assert outcome.code == 3
    assert "expected 16384 bytes, got 100" in outcome.err


def test_a_missing_file_is_refused(ready):
    (ready.directory / "tokenizer.json").unlink()
    outcome = ready()
    assert outcome.code == 3
    assert "tokenizer.json is missing" in outcome.err


def test_a_missing_manifest_is_refused(ready):
    (ready.directory / "manifest.json").unlink()
    outcome = ready()
    assert outcome.code == 3
    assert "manifest.json is missing" in outcome.err


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"repo": 1}', '{"files": [{"path": 1}]}', '{"files": 3}', "\x00"])
def test_a_damaged_manifest_is_refused(ready, content):
    (ready.directory / "manifest.json").write_text(content)
    outcome = ready()
    assert outcome.code == 3
    assert "is not a manifest" in outcome.err


def test_the_manifest_of_another_model_is_refused(ready):
    path = ready.directory / "manifest.json"
    path.write_text(path.read_text().replace("acme/small-1b", "acme/other"))
    assert "is of acme/other" in ready().err


@pytest.mark.parametrize("name", ["modeling_evil.py", "pytorch_model.bin", "sub/extra.json"])
def test_a_file_that_was_not_downloaded_is_refused(ready, name):
    path = ready.directory / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("x")
    outcome = ready()
    assert outcome.code == 3
    assert name in outcome.err
    assert "unexpected" in outcome.err


def test_a_link_in_place_of_a_file_is_refused(ready, tmp_path):
    path = ready.directory / WEIGHTS
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert ready().code == 3


def test_after_forget_the_model_is_downloaded_anew(ready, hub):
    (ready.directory / WEIGHTS).write_bytes(b"broken")
    assert ready().code == 3
    assert ready("forget", "acme/small-1b", ready.environment["MODEL_REVISION"]).code == 0
    outcome = ready()
    assert (outcome.code, outcome.summary["verified"]) == (0, "downloaded")
    hub.requests.clear()


def test_verify_without_a_copy_says_so(downloader):
    outcome = downloader("verify")
    assert outcome.code == 3
    assert "no complete copy" in outcome.err
