"""What goes wrong between here and the hub: retried where that helps, else a clear sentence and exit code."""

from __future__ import annotations

import shutil
from collections import namedtuple

import pytest

from lab.hub_faults import Fault

WEIGHTS = "model.safetensors"
TOKEN = "hf_secret_of_the_test"


def test_a_cut_connection_goes_on_where_it_broke(downloader, hub):
    hub.faults.add(Fault("cut", path=WEIGHTS, after_bytes=5000, times=1))
    assert downloader().code == 0
    # The client may hold back up to a chunk of what arrived, so only that it asked for a rest is certain.
    statuses = [request["status"] for request in hub.requests if request["path"].endswith(WEIGHTS)]
    assert len(statuses) >= 3


def test_a_reset_connection_is_tried_again(downloader, hub):
    hub.faults.add(Fault("reset", path=WEIGHTS, after_bytes=5000, times=2))
    outcome = downloader()
    assert outcome.code == 0, outcome.err
    assert "again in" in outcome.out


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_passing_fault_of_the_hub_is_waited_out(downloader, hub, status):
    hub.faults.replace([Fault("status", path="api", status=status, times=2)])
    outcome = downloader()
    assert outcome.code == 0, outcome.err
    assert f"status {status}; again in" in outcome.out


def test_a_passing_fault_while_files_arrive_is_waited_out(downloader, hub):
    hub.faults.add(Fault("status", path=WEIGHTS, status=503, times=1))
    assert downloader().code == 0


def test_retry_after_is_honoured(downloader, hub):
    hub.faults.add(Fault("status", path="api", status=429, retry_after_s=1, times=1))
    outcome = downloader()
    assert outcome.code == 0, outcome.err
    assert "again in 1 s" in outcome.out
    assert outcome.summary["seconds"] >= 1


def test_a_hub_that_asks_for_too_much_patience_is_left_at_once(downloader, hub):
    hub.faults.add(Fault("status", path="api", status=429, retry_after_s=3600))
    outcome = downloader()
    assert outcome.code == 4
    assert "status 429" in outcome.err
    assert "asks to wait 3600 s" in outcome.err
    assert len(hub.requests) == 1


def test_retries_end(downloader, hub):
    hub.faults.add(Fault("status", path="api", status=503))
    outcome = downloader()
    assert outcome.code == 4
    assert "status 503" in outcome.err
    assert len(hub.requests) == 5


@pytest.mark.parametrize(("status", "words"), [(403, "refuses acme/small-1b (status 403"), (404, "no model acme")])
def test_a_refusal_is_not_repeated(downloader, hub, status, words):
    hub.faults.add(Fault("status", path="api", status=status))
    outcome = downloader()
    assert outcome.code == 4
    assert words in outcome.err
    assert "mend:" in outcome.err
    assert len(hub.requests) == 1


def test_an_unknown_model_is_told_from_an_unknown_revision(downloader, hub):
    assert "has no revision v9" in downloader(MODEL_REVISION="v9").err
    hub.store.known = {"acme/known"}
    outcome = downloader()
    assert outcome.code == 4
    assert "no model acme/small-1b, or it is private" in outcome.err


def test_a_gated_model_needs_the_token_from_the_file(downloader, hub, tmp_path):
    hub.store.gated["acme/small-1b"] = {TOKEN}
    without = downloader(HF_TOKEN=TOKEN, HUGGING_FACE_HUB_TOKEN=TOKEN)
    assert without.code == 4
    assert "gated and no token is set" in without.err
    assert "hf_token" in without.err
    (tmp_path / "hf-token").write_text(f"{TOKEN}\n")
    with_token = downloader()
    assert with_token.code == 0, with_token.err
    assert TOKEN not in with_token.out + with_token.err


def test_a_token_without_access_and_a_wrong_token_are_told_apart(downloader, hub, tmp_path):
    hub.store.gated["acme/small-1b"] = {"hf_of_somebody_else"}
    hub.store.tokens = {TOKEN}
    (tmp_path / "hf-token").write_text(TOKEN)
    assert "gated and the token may not read it (status 403)" in downloader().err
    (tmp_path / "hf-token").write_text("hf_wrong_and_secret")
    wrong = downloader()
    assert wrong.code == 4
    assert "refuses acme/small-1b (status 401: Invalid credentials" in wrong.err
    assert "hf_wrong_and_secret" not in wrong.out + wrong.err


def test_a_hub_that_hangs_is_left_when_the_time_is_up(downloader, hub):
    hub.faults.add(Fault("hang", path="api"))
    outcome = downloader(MODEL_TIMEOUT_S="1")
    assert outcome.code == 4
    assert "no answer within 1 s" in outcome.err


def test_a_file_that_stops_arriving_ends_with_the_timeout_and_says_how_far_it_came(downloader, hub):
    hub.faults.add(Fault("hang", path=WEIGHTS, after_bytes=8000))
    outcome = downloader(MODEL_TIMEOUT_S="1")
    assert outcome.code == 4
    assert "did not finish within 1 s" in outcome.err
    assert "download_timeout_s" in outcome.err


def test_nobody_at_the_address_is_said_so(downloader):
    outcome = downloader(HF_ENDPOINT="http://127.0.0.1:9")
    assert outcome.code == 4
    assert "http://127.0.0.1:9 cannot be reached" in outcome.err


def test_a_bit_that_flips_on_the_way_is_caught_and_the_file_fetched_again(downloader, hub, upstream):
    hub.faults.add(Fault("flip", path=WEIGHTS, after_bytes=777, times=1))
    outcome = downloader()
    assert outcome.code == 0, outcome.err
    assert f"{WEIGHTS} arrived damaged" in outcome.out
    assert (downloader.directory / WEIGHTS).read_bytes() == (upstream / WEIGHTS).read_bytes()


def test_a_small_file_is_checked_too(downloader, hub):
    hub.faults.add(Fault("flip", path="tokenizer.json", after_bytes=3, times=1))
    outcome = downloader()
    assert outcome.code == 0, outcome.err
    assert "tokenizer.json arrived damaged" in outcome.out


def test_a_wrong_copy_on_the_mirror_is_refused(downloader, hub):
    hub.faults.add(Fault("flip", path=WEIGHTS, after_bytes=777))
    outcome = downloader()
    assert outcome.code == 3
    assert f"{WEIGHTS} arrived damaged 2 times: expected" in outcome.err
    assert not downloader.directory.exists()


def test_too_little_space_is_said_before_anything_is_downloaded(downloader, hub, monkeypatch):
    assert downloader(MODEL_REPO="acme/other").code == 0
    hub.requests.clear()
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**6, 10**6 - 17000, 17000))
    outcome = downloader()
    assert outcome.code == 5
    assert "needs 18 KiB more on the volume, 17 KiB are free" in outcome.err
    assert "acme/other" in outcome.err, "what could be removed is named"
    assert not any("/resolve/" in request["path"] for request in hub.requests)


def test_what_an_earlier_run_finished_counts_as_space_that_is_not_needed(downloader, hub, upstream, monkeypatch):
    staging = downloader.directory.parent / f".partial-{downloader.environment['MODEL_REVISION']}"
    staging.mkdir(parents=True)
    shutil.copy(upstream / WEIGHTS, staging)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**6, 0, 4096))
    assert downloader().code == 0


def test_a_disk_that_fills_up_meanwhile_is_the_same_fault(downloader, monkeypatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("model_downloader.hub.hf_hub_download", full)
    outcome = downloader()
    assert outcome.code == 5
    assert "more on the volume" in outcome.err


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"MODEL_REPO": ""}, "no model is named"),
        ({"MODEL_REPO": "../../etc"}, "is not a model id"),
        ({"MODEL_REPO": "a/b/c"}, "is not a model id"),
        ({"MODEL_REVISION": "../x"}, "is not a revision"),
        ({"MODEL_TIMEOUT_S": "soon"}, "MODEL_TIMEOUT_S is 'soon'"),
        ({"MODEL_TIMEOUT_S": "0"}, "MODEL_TIMEOUT_S is '0'"),
        ({"MODELS_DIR": "/nowhere/at/all"}, "/nowhere/at/all is not there"),
    ],
)
def test_bad_arguments_are_named(downloader, hub, settings, words):
    outcome = downloader(**settings)
    assert outcome.code == 2
    assert words in outcome.err
    assert not hub.requests


def test_an_unknown_command_is_a_bad_argument(downloader):
    with pytest.raises(SystemExit) as ended:
        downloader("fetsch")
    assert ended.value.code == 2


def test_a_hub_that_lists_files_outside_of_the_model_is_refused(downloader, hub):
    files = hub.store.default.files
    files["../../evil.json"] = files["config.json"].__class__(
        "../../evil.json", 1, "0" * 64, "0" * 40, lfs=False, source=b"x"
    )
    outcome = downloader()
    assert outcome.code == 4
    assert "outside of" in outcome.err


def test_a_mirror_that_leaves_sizes_out_is_asked_for_the_tree(downloader, hub, monkeypatch):
    plain = hub.store.model_info
    monkeypatch.setattr(hub.store, "model_info", lambda *given: plain(*given[:3], False))
    outcome = downloader()
    assert outcome.code == 0, outcome.err
    assert any("/tree/" in request["path"] for request in hub.requests)
