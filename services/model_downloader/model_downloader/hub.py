"""Talking to the hub: what a model consists of, and getting one file of it, with retries that end."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeVar

import httpx2
from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError
from huggingface_hub.hf_api import RepoFile

from model_downloader.failure import BAD_ARGUMENTS, HUB_REFUSED, Failure
from model_downloader.progress import say

ATTEMPTS = 5
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 300  # a hub that asks for more gets a new visit when the user decides
LISTING_TIMEOUT_S = 60
WORTH_RETRYING = (408, 429, 500, 502, 503, 504)
SET_TOKEN = "pulumi config set --secret hf_token"  # noqa: S105 (a command, not a token)

SAFE_SUFFIXES = (".safetensors", ".json", ".jinja", ".txt", ".tiktoken")
CODE_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".py", ".so")  # pickle or code: runs when loaded
OTHER_COPIES = ("original", "onnx", "openvino", "runs", ".git")  # folders with the same model for other programs

T = TypeVar("T")


@dataclass(frozen=True)
class RemoteFile:
    """A file as the hub describes it: large ones by sha256, small ones by their git blob id."""

    path: str
    size: int
    sha256: str | None
    git_blob: str | None


@dataclass(frozen=True)
class Listing:
    """What to download of a model, and what was left out because it could run code."""

    commit: str
    files: list[RemoteFile]
    refused: list[str]

    @property
    def total_bytes(self) -> int:
        return sum(file.size for file in self.files)


class Hub:
    """One hub, with the token if there is one. Nothing here takes longer than the deadline."""

    def __init__(self, endpoint: str, token: str | None, deadline: float):
        self.endpoint = endpoint
        self.token: str | bool = token or False  # False: never look for one in files or the environment
        self.deadline = deadline
        self._api = HfApi(endpoint=endpoint, token=self.token)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="listing")

    def listing(self, repo: str, revision: str) -> Listing:
        """Resolve the revision and choose the files."""
        info = self._retrying(repo, revision, lambda: self._in_time(lambda: self._ask(repo, revision)))
        return choose(repo, *info)

    def download(self, repo: str, commit: str, file: RemoteFile, into: Path) -> None:
        """Get one file to its place below ``into``. Only complete files appear there."""

        def get() -> None:
            hf_hub_download(
                repo,
                file.path,
                revision=commit,
                local_dir=into,
                cache_dir=into / ".cache" / "hub",
                endpoint=self.endpoint,
                token=self.token,
            )

        self._retrying(repo, commit, get)

    def _ask(self, repo: str, revision: str) -> tuple[str, list[RemoteFile]]:
        info = self._api.model_info(repo, revision=revision, files_metadata=True, timeout=LISTING_TIMEOUT_S)
        if info.sha is None:
            raise Failure(HUB_REFUSED, f"{self.endpoint} names no commit for {repo} {revision}")
        files = [
            RemoteFile(entry.rfilename, entry.size, entry.lfs.sha256 if entry.lfs else None, entry.blob_id)
            for entry in info.siblings or []
            if entry.size is not None
        ]
        if len(files) < len(info.siblings or []):  # some mirrors leave the sizes out of this answer
            tree = self._api.list_repo_tree(repo, recursive=True, revision=info.sha)
            files = [
                RemoteFile(entry.path, entry.size, entry.lfs.sha256 if entry.lfs else None, entry.blob_id)
                for entry in tree
                if isinstance(entry, RepoFile)
            ]
        return info.sha, files

    def _in_time(self, call: Callable[[], T]) -> T:
        """The client sets no time limit for every request of a listing, so the waiting ends here."""
        future: Future[T] = self._pool.submit(call)
        limit_s = min(LISTING_TIMEOUT_S, self.deadline - time.monotonic())
        try:
            return future.result(timeout=max(0.0, limit_s))
        except FutureTimeout:
            self._pool = ThreadPoolExecutor(1, thread_name_prefix="listing")
            raise httpx2.ReadTimeout(f"no answer within {limit_s:.0f} s") from None

    def _retrying(self, repo: str, revision: str, call: Callable[[], T]) -> T:
        wait_s = FIRST_WAIT_S
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return call()
            except (httpx2.HTTPError, OSError) as error:
                cause = _hub_error(error)
                if cause is None:
                    raise
                asked_s = _retry_after_s(cause)
                pause_s = wait_s if asked_s is None else asked_s
                too_long = pause_s > LONGEST_WAIT_S or time.monotonic() + pause_s > self.deadline
                if attempt == ATTEMPTS or not _worth_retrying(cause) or too_long:
                    raise self._refusal(repo, revision, cause, pause_s if asked_s is not None else None) from error
                say(f"{self.endpoint}: {_short(cause)}; again in {pause_s:.0f} s ({attempt + 1}/{ATTEMPTS})")
                time.sleep(pause_s)
                wait_s *= 2
        raise AssertionError("the last attempt returns or raises")

    def _refusal(self, repo: str, revision: str, error: Exception, asked_s: float | None) -> Failure:
        status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
        again = "run the same command again later: finished files are kept"
        if isinstance(error, GatedRepoError):
            why = "the token may not read it" if self.token else "no token is set"
            what = f"{repo} is gated and {why} (status {status})"
            mend = f"ask for access at {self.endpoint}/{repo}, then {SET_TOKEN}"
        elif isinstance(error, RevisionNotFoundError):
            what, mend = f"{repo} has no revision {revision} (status {status})", f"see {self.endpoint}/{repo}/tree/main"
        elif isinstance(error, RepositoryNotFoundError) or status == 404:
            what = f"{self.endpoint} has no model {repo}, or it is private (status {status})"
            mend = f"check the id; for a private model {SET_TOKEN}"
        elif status in (401, 403):
            what = f"{self.endpoint} refuses {repo} (status {status}: {_message(error)})"
            mend = f"check that the token is valid and may read the model, then {SET_TOKEN}"
        elif status == 429:
            wait = f" and asks to wait {asked_s:.0f} s" if asked_s is not None else ""
            what, mend = f"{self.endpoint} limits the rate of requests (status 429){wait}", again
        elif status is not None:
            what, mend = f"{self.endpoint} failed on {repo} (status {status}) after {ATTEMPTS} attempts", again
        else:
            what = f"{self.endpoint} cannot be reached: {_short(error)}"
            mend = f"check the network and the address (model_cache.endpoint), then {again}"
        return Failure(HUB_REFUSED, what, mend)


def choose(repo: str, commit: str, files: list[RemoteFile]) -> Listing:
    """Safetensors, tokenizer, configuration and templates; never pickle or code."""
    refused = [file.path for file in files if file.path.endswith(CODE_SUFFIXES)]
    wanted = [file for file in files if _is_wanted(file.path)]
    weights = [file.path for file in wanted if file.path.endswith(".safetensors") and "/" not in file.path]
    if any(path.startswith("model") for path in weights):
        # Mistral's repositories carry the same weights twice; vLLM reads the first kind.
        wanted = [file for file in wanted if not file.path.startswith("consolidated")]
    if not weights:
        pickles = ", ".join(path for path in refused if not path.endswith(".py")) or "no weights"
        raise Failure(
            BAD_ARGUMENTS,
            f"{repo} has no safetensors, only {pickles}: such files can run code when they are loaded",
            "choose a repository or a revision that has safetensors",
        )
    for file in wanted:
        parts = PurePosixPath(file.path).parts
        if file.path.startswith("/") or ".." in parts or "\\" in file.path:
            raise Failure(HUB_REFUSED, f"the hub lists a file outside of {repo}: {file.path!r}")
    return Listing(commit, sorted(wanted, key=lambda file: -file.size), refused)


def _is_wanted(path: str) -> bool:
    folder, _, name = path.rpartition("/")
    if folder.split("/")[0] in OTHER_COPIES or folder.startswith("checkpoint-"):
        return False
    is_tokenizer = name.startswith("tokenizer") and not name.endswith(CODE_SUFFIXES)
    return name.endswith(SAFE_SUFFIXES) or is_tokenizer


def _hub_error(error: BaseException) -> Exception | None:
    """The hub's answer or the network's fault among an error's causes; None for faults of this machine."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, httpx2.HTTPError):
            return seen
        seen = seen.__cause__ or seen.__context__
    # huggingface_hub's own "expected size, got size" after a short answer
    return error if isinstance(error, OSError) and error.errno is None else None


def _worth_retrying(error: Exception) -> bool:
    return not isinstance(error, HfHubHTTPError) or error.response.status_code in WORTH_RETRYING


def _retry_after_s(error: Exception) -> float | None:
    if not isinstance(error, HfHubHTTPError):
        return None
    value = error.response.headers.get("Retry-After", "")
    return float(value) if value.isdigit() else None


def _message(error: Exception) -> str:
    return getattr(error, "server_message", None) or "no reason given"


def _short(error: Exception) -> str:
    if isinstance(error, HfHubHTTPError):
        return f"status {error.response.status_code}"
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
