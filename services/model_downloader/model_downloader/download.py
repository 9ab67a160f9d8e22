"""Download what is missing, check what arrived, publish what is complete."""

from __future__ import annotations

import errno
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from concurrent.futures import TimeoutError as FutureTimeout
from pathlib import Path

from model_downloader.failure import CHANGED_FILE, HUB_REFUSED, NO_SPACE, Failure
from model_downloader.hub import Hub, Listing, RemoteFile
from model_downloader.progress import Progress, amount, say
from model_downloader.store import FileRecord, Manifest, Model, used_bytes
from model_downloader.verify import digest

FILES_AT_ONCE = 4
SPACE_FACTOR = 1.1  # blocks, directories, and what else writes to that disk meanwhile
DAMAGED_ARRIVALS = 2


def download(model: Model, endpoint: str, token: str | None, deadline: float, timeout_s: float) -> Manifest:
    """Leave a complete copy that the hub's own checksums have proven. The caller holds the model's lock."""
    hub = Hub(endpoint, token, deadline)
    say(f"asking {hub.endpoint} for {model.repo} {model.revision}")
    listing = hub.listing(model.repo, model.revision)
    if listing.refused:
        say(f"left out, as loading it could run code: {', '.join(listing.refused)}")
    staging = _prepare(model, listing.commit)
    missing = sum(file.size for file in listing.files if not _has_size(staging, file))
    _check_space(model, missing)
    sizes = f"{len(listing.files)} files, {amount(missing)} of {amount(listing.total_bytes)} missing"
    say(f"downloading commit {listing.commit}: {sizes}")
    records: dict[str, FileRecord] = {}
    pool = ThreadPoolExecutor(FILES_AT_ONCE, thread_name_prefix="file")
    try:
        with Progress(listing.total_bytes, lambda: min(used_bytes(staging), listing.total_bytes)):
            futures = [pool.submit(_obtain, model, hub, listing.commit, file, staging) for file in listing.files]
            for future in as_completed(futures, timeout=max(0.0, deadline - time.monotonic())):
                record = future.result()
                records[record.path] = record
    except FutureTimeout:
        raise _late(listing, staging, timeout_s) from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _no_space(model, missing) from error
        raise
    finally:
        # Not waited for: a thread may hang in a read, and the process ends soon.
        pool.shutdown(wait=False, cancel_futures=True)
    manifest = Manifest(model.repo, model.revision, listing.commit, [records[path] for path in sorted(records)])
    model.publish(staging, manifest)
    return manifest


def _prepare(model: Model, commit: str) -> Path:
    """The staging directory, with what an earlier run finished and without what it left half done."""
    staging = model.staging(commit)
    for other in (*model.home.glob(".partial-*"), *model.home.glob(".removed-*")):
        if other != staging:
            shutil.rmtree(other)
    staging.mkdir(parents=True, exist_ok=True)
    # huggingface_hub gives every attempt a name of its own and never looks at the old ones again.
    for orphan in staging.rglob("*.incomplete"):
        orphan.unlink()
    return staging


def _obtain(model: Model, hub: Hub, commit: str, file: RemoteFile, staging: Path) -> FileRecord:
    """One file, complete and with the checksum that the hub published."""
    path = staging / file.path
    got = ""
    for _ in range(DAMAGED_ARRIVALS):
        if not _has_size(staging, file):
            path.unlink(missing_ok=True)
            hub.download(model.repo, commit, file, staging)
        sha256 = digest(path)
        got = sha256 if file.sha256 else digest(path, git_blob=True)
        if path.stat().st_size == file.size and got == (file.sha256 or file.git_blob):
            with path.open("rb") as written:
                os.fsync(written.fileno())
            return FileRecord(file.path, file.size, sha256)
        say(f"{file.path} arrived damaged, fetching it again")
        path.unlink()
    raise Failure(
        CHANGED_FILE,
        f"{file.path} arrived damaged {DAMAGED_ARRIVALS} times: expected {file.sha256 or file.git_blob}, got {got}",
        "run the same command again; if it stays so, the mirror (model_cache.endpoint) holds a wrong copy",
    )


def _has_size(staging: Path, file: RemoteFile) -> bool:
    path = staging / file.path
    return path.is_file() and path.stat().st_size == file.size


def _check_space(model: Model, missing: int) -> None:
    if free_bytes(model.root) < missing * SPACE_FACTOR:
        raise _no_space(model, missing)


def free_bytes(directory: Path) -> int:
    return shutil.disk_usage(directory).free


def _no_space(model: Model, missing: int) -> Failure:
    others = sorted(
        f"{home.name.replace('--', '/', 1)} ({amount(used_bytes(home))})"
        for home in model.root.iterdir()
        if home.is_dir() and not home.name.startswith(".") and home != model.home
    )
    free = amount(free_bytes(model.root))
    what = f"{model.repo} needs {amount(int(missing * SPACE_FACTOR))} more on the volume, {free} are free"
    mend = "make room on the disk that holds the Docker volumes"
    if others:
        mend += f", or remove a model of {', '.join(others)}: {model.forget_command} REPO REVISION"
    return Failure(NO_SPACE, what, mend)


def _late(listing: Listing, staging: Path, timeout_s: float) -> Failure:
    there = amount(min(used_bytes(staging), listing.total_bytes))
    return Failure(
        HUB_REFUSED,
        f"the download did not finish within {timeout_s:.0f} s: {there} of {amount(listing.total_bytes)} are here",
        "deploy again to go on (finished files are kept), or raise model_cache.download_timeout_s",
    )
