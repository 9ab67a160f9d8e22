"""The lab's hub answers as the Hub does: to huggingface_hub, and on the wire."""

from __future__ import annotations

import hashlib
import json
import os
import threading
import urllib.error
import urllib.request
from http.client import IncompleteRead

import pytest

os.environ |= {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}  # read when the client is imported

from huggingface_hub import HfApi, get_hf_file_metadata, hf_hub_url, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from lab.hub_faults import Fault
from lab.hub_server import HubServer
from lab.hub_store import Snapshot, Store

REPO = "acme/small-1b"
WEIGHTS = bytes(range(256)) * 40
COMMIT = "12fd25f77366fa6b3b4b768ec3050bf629380bac"


@pytest.fixture
def hub(tmp_path):
    directory = tmp_path / "model"
    (directory / "extra" / "deep").mkdir(parents=True)
    (directory / "model.safetensors").write_bytes(WEIGHTS)
    (directory / "config.json").write_bytes(b"{}\n")
    (directory / "extra" / "deep" / "notes.txt").write_bytes(b"hello\n")
    server = HubServer(("127.0.0.1", 0), Store(default=Snapshot.of(directory)))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield server
    server.stop()


@pytest.fixture
def api(hub):
    return HfApi(endpoint=hub.endpoint, token=False)


def get(hub, path, method="GET", **headers):
    request = urllib.request.Request(hub.endpoint + path, headers=headers, method=method)
    with urllib.request.urlopen(request, timeout=5) as answer:
        return answer.status, dict(answer.headers), answer.read()


def refused(hub, path, **headers):
    with pytest.raises(urllib.error.HTTPError) as error:
        get(hub, path, **headers)
    return error.value.code, error.value.headers


def test_every_id_has_the_same_model_and_a_commit_of_its_own(api):
    one, other = api.model_info(REPO), api.model_info("Qwen/Qwen3-8B")
    assert one.id == REPO
    assert len(one.sha) == 40
    assert one.sha != other.sha
    assert [file.rfilename for file in one.siblings] == [file.rfilename for file in other.siblings]


def test_a_pinned_commit_is_taken_and_an_unknown_branch_is_not(api):
    assert api.model_info(REPO, revision=COMMIT).sha == COMMIT
    with pytest.raises(RevisionNotFoundError):
        api.model_info(REPO, revision="v9")


def test_checksums_are_those_of_git_and_of_lfs(api):
    files = {file.path: file for file in api.list_repo_tree(REPO, recursive=True) if hasattr(file, "blob_id")}
    assert files["model.safetensors"].lfs.sha256 == hashlib.sha256(WEIGHTS).hexdigest()
    assert files["model.safetensors"].size == len(WEIGHTS)
    # `printf '{}\n' | git hash-object --stdin`
    assert files["config.json"].blob_id == "0967ef424bce6791893e9a57bb952f80fd536e93"
    assert files["config.json"].lfs is None


def test_a_tree_lists_one_level_or_all(api):
    assert {entry.path for entry in api.list_repo_tree(REPO)} >= {"extra", "config.json"}
    assert "extra/deep/notes.txt" not in {entry.path for entry in api.list_repo_tree(REPO)}
    assert {entry.path for entry in api.list_repo_tree(REPO, recursive=True)} >= {"extra/deep", "extra/deep/notes.txt"}
    assert [entry.path for entry in api.list_repo_tree(REPO, "extra")] == ["extra/deep"]
    with pytest.raises(RemoteEntryNotFoundError):
        list(api.list_repo_tree(REPO, "nothing"))


def test_a_long_tree_comes_in_pages(api, monkeypatch):
    whole = [entry.path for entry in api.list_repo_tree(REPO, recursive=True)]
    monkeypatch.setattr("lab.hub_server.PAGE_ENTRIES", 2)
    assert [entry.path for entry in api.list_repo_tree(REPO, recursive=True)] == whole


def test_a_repository_also_holds_what_nobody_should_load(api):
    assert {"README.md", ".gitattributes", "training_args.bin"} <= set(api.list_repo_files(REPO))


def test_paths_info_knows_only_what_is_there(api):
    assert [entry.path for entry in api.get_paths_info(REPO, ["config.json", "nothing"])] == ["config.json"]


def test_the_head_of_a_file_carries_commit_etag_and_size(hub):
    url = hf_hub_url(REPO, "model.safetensors", revision=COMMIT, endpoint=hub.endpoint)
    metadata = get_hf_file_metadata(url)
    assert metadata.commit_hash == COMMIT
    assert metadata.etag == hashlib.sha256(WEIGHTS).hexdigest()
    assert metadata.size == len(WEIGHTS)
    assert metadata.xet_file_data is None
    _, headers, body = get(hub, f"/{REPO}/resolve/{COMMIT}/model.safetensors", method="HEAD")
    assert body == b""
    assert headers["X-Linked-Size"] == headers["Content-Length"] == str(len(WEIGHTS))


def test_snapshot_download_gets_the_whole_model(hub, tmp_path):
    snapshot_download(REPO, local_dir=tmp_path / "got", cache_dir=tmp_path / "cache", endpoint=hub.endpoint)
    assert (tmp_path / "got" / "model.safetensors").read_bytes() == WEIGHTS
    assert (tmp_path / "got" / "extra" / "deep" / "notes.txt").read_text() == "hello\n"


@pytest.mark.parametrize(
    ("wanted", "start", "end"), [("bytes=0-9", 0, 10), ("bytes=100-", 100, None), ("bytes=-7", -7, None)]
)
def test_a_range_is_served_as_asked(hub, wanted, start, end):
    status, headers, body = get(hub, f"/{REPO}/resolve/main/model.safetensors", Range=wanted)
    assert (status, body) == (206, WEIGHTS[start:end])
    assert headers["Content-Range"].endswith(f"/{len(WEIGHTS)}")


@pytest.mark.parametrize("wanted", ["bytes=99999-", "bytes=9-3", "bytes=-", "lines=1-2"])
def test_a_range_outside_of_the_file_is_refused(hub, wanted):
    code, headers = refused(hub, f"/{REPO}/resolve/main/model.safetensors", Range=wanted)
    assert code == 416
    assert headers["Content-Range"] == f"bytes */{len(WEIGHTS)}"


def test_only_listed_ids_exist_when_a_list_is_given(hub, api):
    hub.store.known = {REPO}
    assert api.model_info(REPO).id == REPO
    with pytest.raises(RepositoryNotFoundError):
        api.model_info("acme/other")


def test_a_gated_model_shows_itself_and_keeps_its_files(hub, api):
    hub.store.gated[REPO] = {"hf_good"}
    hub.store.tokens = {"hf_stranger"}
    assert api.model_info(REPO).gated == "manual"
    url = hf_hub_url(REPO, "config.json", endpoint=hub.endpoint)
    for token, status in ((False, 401), ("hf_stranger", 403)):
        with pytest.raises(GatedRepoError) as error:
            get_hf_file_metadata(url, token=token)
        assert error.value.response.status_code == status
    assert get_hf_file_metadata(url, token="hf_good").size == 3


def test_a_wrong_token_is_refused_everywhere(hub):
    with pytest.raises(HfHubHTTPError) as error:
        HfApi(endpoint=hub.endpoint, token="hf_wrong").model_info(REPO)
    assert error.value.response.status_code == 401
    assert not isinstance(error.value, RepositoryNotFoundError)


@pytest.mark.parametrize(
    "path", ["/", "/api/models/", f"/{REPO}/resolve/main/../../etc/passwd", f"/{REPO}/resolve/main/%2e%2e/%2e%2e/x"]
)
def test_nothing_outside_of_the_model_is_served(hub, path):
    assert refused(hub, path)[0] in (401, 404)


def test_a_fault_is_played_as_often_as_asked_and_only_where_asked(hub):
    hub.faults.add(Fault("status", repo="acme/*", path="config.json", status=429, retry_after_s=7, times=2))
    for _ in range(2):
        code, headers = refused(hub, f"/{REPO}/resolve/main/config.json")
        assert (code, headers["Retry-After"]) == (429, "7")
    assert get(hub, f"/{REPO}/resolve/main/config.json")[0] == 200
    hub.faults.add(Fault("status", repo="acme/*"))
    assert get(hub, "/other/model/resolve/main/config.json")[0] == 200


def test_a_flipped_bit_is_one_bit(hub):
    hub.faults.add(Fault("flip", path="model.safetensors", after_bytes=500, times=1))
    body = get(hub, f"/{REPO}/resolve/main/model.safetensors")[2]
    assert [at for at, (got, sent) in enumerate(zip(body, WEIGHTS, strict=True)) if got != sent] == [500]
    assert get(hub, f"/{REPO}/resolve/main/model.safetensors")[2] == WEIGHTS


def test_a_cut_and_a_reset_end_in_the_middle_of_the_body(hub):
    hub.faults.replace([Fault("cut", after_bytes=1000, times=1), Fault("reset", after_bytes=1000, times=1)])
    with pytest.raises(IncompleteRead) as error:
        get(hub, f"/{REPO}/resolve/main/model.safetensors")
    assert error.value.partial == WEIGHTS[:1000]
    with pytest.raises(ConnectionResetError):
        get(hub, f"/{REPO}/resolve/main/model.safetensors")


def test_a_hang_lasts_until_the_client_gives_up(hub):
    hub.faults.add(Fault("hang", path="api", times=1))
    with pytest.raises(TimeoutError):
        urllib.request.urlopen(f"{hub.endpoint}/api/models/{REPO}", timeout=0.2)
    assert get(hub, f"/api/models/{REPO}")[0] == 200


@pytest.mark.parametrize(
    "wrong", [{"kind": "explode"}, {"kind": "cut", "after_bytes": -1}, {"kind": "status", "status": "x"}]
)
def test_a_fault_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValueError, match="expected"):
        Fault(**wrong)


def test_requests_are_remembered_without_tokens(hub):
    hub.store.tokens = {"hf_good"}
    get(hub, f"/api/models/{REPO}", Authorization="Bearer hf_good")
    (request,) = hub.requests
    assert request["authorized"] is True
    assert "hf_good" not in json.dumps(request)
