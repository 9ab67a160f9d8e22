"""What a download leaves behind, and that a second run needs nothing from outside."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from lab.hub_faults import Fault
from lab.hub_store import Snapshot

SERVICE = Path(__file__).parents[3] / "services" / "model_downloader"
WEIGHTS = "model.safetensors"


def wait_for(condition: Callable[[], object], what: str, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds} s"
        time.sleep(0.01)


def test_a_download_leaves_the_model_its_manifest_and_ready(downloader, upstream):
    outcome = downloader()
    assert outcome.code == 0, outcome.err
    expected = {path.name: path.read_bytes() for path in upstream.iterdir()}
    found = {path.name: path.read_bytes() for path in downloader.directory.iterdir()}
    assert set(found) == set(expected) | {"manifest.json", "READY"}
    assert {name: found[name] for name in expected} == expected
    manifest = json.loads(found["manifest.json"])
    commit = downloader.environment["MODEL_REVISION"]
    assert (manifest["repo"], manifest["revision"], manifest["commit"]) == ("acme/small-1b", commit, commit)
    assert {file["path"]: (file["size"], file["sha256"]) for file in manifest["files"]} == {
        name: (len(content), hashlib.sha256(content).hexdigest()) for name, content in expected.items()
    }
    assert [path.name for path in downloader.directory.parent.iterdir()] == [commit], "no staging directory is left"


def test_the_last_line_sums_up_what_was_done(downloader, upstream):
    summary = downloader().summary
    assert summary.pop("seconds") >= 0
    assert summary == {
        "repo": "acme/small-1b",
        "commit": downloader.environment["MODEL_REVISION"],
        "bytes": sum(path.stat().st_size for path in upstream.iterdir()),
        "files": 5,
        "verified": "downloaded",
    }


def test_a_second_run_makes_no_request_at_all(downloader, hub):
    downloader()
    hub.requests.clear()
    outcome = downloader()
    assert (outcome.code, outcome.summary["verified"]) == (0, "offline")
    assert not hub.requests


def test_a_second_run_needs_neither_the_hub_nor_its_client(downloader):
    downloader()
    program = f"import sys; sys.path.insert(0, {str(SERVICE)!r}); sys.modules['huggingface_hub'] = None;"
    program += "from model_downloader.cli import main; import os; sys.exit(main([], os.environ))"
    environment = downloader.environment | {"HF_ENDPOINT": "http://127.0.0.1:9"}
    ended = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr


def test_a_branch_is_resolved_to_its_commit(downloader, hub):
    outcome = downloader(MODEL_REVISION="main")
    assert outcome.code == 0, outcome.err
    assert outcome.summary["commit"] == hub.store.default.commit("acme/small-1b")
    assert (downloader.directory.parent / "main" / "READY").is_file()


def test_pickles_and_code_are_left_out_and_named(downloader, upstream, hub):
    (upstream / "modeling_small.py").write_text("print('hello')\n")
    (upstream / "pytorch_model.bin").write_bytes(pickle.dumps([1]))
    hub.store.default = Snapshot.of(upstream)
    outcome = downloader()
    assert outcome.code == 0, outcome.err
    for name in ("modeling_small.py", "pytorch_model.bin", "training_args.bin"):
        assert name in outcome.out
        assert not (downloader.directory / name).exists()
        assert not any(name in request["path"] for request in hub.requests)


def test_a_model_with_nothing_but_pickled_weights_is_refused(downloader, upstream, hub):
    (upstream / WEIGHTS).rename(upstream / "pytorch_model.bin")
    hub.store.default = Snapshot.of(upstream)
    outcome = downloader()
    assert outcome.code == 2
    assert "no safetensors" in outcome.err
    assert "pytorch_model.bin" in outcome.err
    assert "mend:" in outcome.err
    assert not downloader.directory.exists()


def test_weights_for_other_programs_and_second_copies_are_left_out(downloader, upstream, hub):
    for name in ("original/consolidated.00.safetensors", "onnx/config.json", "checkpoint-10/model.safetensors"):
        (upstream / name).parent.mkdir(exist_ok=True)
        (upstream / name).write_bytes(b"x")
    (upstream / "consolidated.safetensors").write_bytes(b"x")
    (upstream / "1_Pooling").mkdir()
    (upstream / "1_Pooling" / "config.json").write_bytes(b"{}")
    hub.store.default = Snapshot.of(upstream)
    assert downloader().code == 0
    kept = {path.relative_to(downloader.directory).as_posix() for path in downloader.directory.rglob("*.*")}
    assert "1_Pooling/config.json" in kept
    assert not {path for path in kept if "onnx" in path or "consolidated" in path or "checkpoint" in path}


def test_after_kill_9_the_next_run_keeps_finished_files_and_removes_orphans(downloader, hub):
    hub.faults.add(Fault("hang", path=WEIGHTS, after_bytes=1000))
    environment = os.environ | downloader.environment | {"PYTHONPATH": str(SERVICE)}
    process = subprocess.Popen(
        [sys.executable, "-m", "model_downloader"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    home = downloader.directory.parent
    wait_for(
        lambda: len(list(home.glob(".partial-*/*.json"))) == 4 and list(home.rglob("*.incomplete")),
        "the small files arriving while the weights hang",
    )
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not downloader.directory.exists(), "nothing half-done carries the model's name"
    hub.faults.replace([])
    hub.requests.clear()
    outcome = downloader()
    assert outcome.code == 0, outcome.err
    fetched = {request["path"].rpartition("/")[2] for request in hub.requests if "/resolve/" in request["path"]}
    assert fetched == {WEIGHTS}
    assert not list(home.rglob("*.incomplete"))
    assert downloader("verify").code == 0


def test_a_stop_signal_ends_it_at_once(downloader, hub):
    hub.faults.add(Fault("hang"))
    environment = os.environ | downloader.environment | {"PYTHONPATH": str(SERVICE)}
    process = subprocess.Popen(
        [sys.executable, "-m", "model_downloader"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    wait_for(lambda: hub.requests, "the first request")
    process.terminate()
    _, err = process.communicate(timeout=5)
    assert process.returncode == 143
    assert b"finished files are kept" in err


def test_another_commit_starts_anew_and_removes_the_older_unfinished_download(downloader):
    older = downloader.directory.parent / ".partial-0000000000000000000000000000000000000000"
    older.mkdir(parents=True)
    (older / WEIGHTS).write_bytes(b"old")
    assert downloader().code == 0
    assert not older.exists()


def test_a_directory_without_ready_is_replaced(downloader):
    downloader.directory.mkdir(parents=True)
    (downloader.directory / "config.json").write_text("of unknown origin")
    assert downloader().code == 0
    assert "of unknown" not in (downloader.directory / "config.json").read_text()


def test_two_downloaders_on_one_volume_download_once(downloader, hub):
    hub.faults.add(Fault("slow", path=WEIGHTS, bytes_per_s=100_000))
    environment = os.environ | downloader.environment | {"PYTHONPATH": str(SERVICE)}
    both = [
        subprocess.Popen([sys.executable, "-m", "model_downloader"], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    ends = [(process.communicate(timeout=30)[0], process.returncode) for process in both]
    assert [code for _, code in ends] == [0, 0]
    assert sorted(json.loads(out.splitlines()[-1])["verified"] for out, _ in ends) == ["downloaded", "offline"]
    gets = [request for request in hub.requests if request["method"] == "GET" and request["path"].endswith(WEIGHTS)]
    assert len(gets) == 1


def test_waiting_for_another_downloader_ends_with_the_timeout(downloader):
    locks = downloader.models / ".locks"
    locks.mkdir()
    with (locks / "acme--small-1b.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        outcome = downloader(MODEL_TIMEOUT_S="1")
    assert outcome.code == 4
    assert "another downloader" in outcome.err


def test_forget_removes_a_model_and_leaves_others(downloader):
    downloader()
    downloader(MODEL_REPO="acme/other")
    outcome = downloader("forget", "acme/small-1b", downloader.environment["MODEL_REVISION"])
    assert outcome.code == 0
    assert "freed" in outcome.out
    assert not (downloader.models / "acme--small-1b").exists()
    assert downloader("verify", MODEL_REPO="acme/other").code == 0
    assert "was not here" in downloader("forget", "acme/small-1b").out


def test_progress_tells_share_amount_and_speed():
    from model_downloader.progress import Progress

    line = Progress(257 * 2**20, lambda: 0).line(31 * 2**20, since=2**20, seconds=3)
    assert line == "12 % 31/257 MiB 10.0 MiB/s"


def test_progress_lines_come_while_a_file_arrives(downloader, hub, monkeypatch):
    monkeypatch.setattr("model_downloader.progress.SPEAK_EVERY_S", 0.05)
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 2**16)
    big = downloader.models.parent / "big"
    big.mkdir()
    (big / WEIGHTS).write_bytes(os.urandom(2**20))
    hub.store.default = Snapshot.of(big)
    hub.faults.add(Fault("slow", path=WEIGHTS, bytes_per_s=2 * 2**20))
    assert " MiB/s" in downloader().out


def test_threads_in_one_process_do_not_corrupt_a_model(downloader):
    from model_downloader.fetch import fetch
    from model_downloader.store import Model

    model = Model(downloader.models, "acme/small-1b", "main", "forget")
    ways: list[str] = []

    def work() -> None:
        ways.append(fetch(model, downloader.environment["HF_ENDPOINT"], None, 30)[1])

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ways) == ["downloaded", "offline", "offline"]
