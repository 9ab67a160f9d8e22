"""The commands: arguments and environment in, exit code out."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from model_downloader.directory import check
from model_downloader.failure import BAD_ARGUMENTS, NO_SPACE, Failure
from model_downloader.fetch import fetch
from model_downloader.inventory import listing, prune
from model_downloader.progress import amount, say
from model_downloader.store import Manifest, Model
from model_downloader.verify import verify

MODELS = "/models"
TOKEN_FILE = "/run/pageindex-stack/hf-token"  # noqa: S105 (a path)
HUGGING_FACE = "https://huggingface.co"
DEFAULT_TIMEOUT_S = "7200"
FORGET_COMMAND = "docker run --rm -v VOLUME:/models IMAGE forget"


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run one command; 0, or the failure's code after saying what is wrong and what mends it."""
    try:
        return _run(_parse(arguments), environment)
    except Failure as failure:
        report = failure
    except OSError as error:
        report = Failure(NO_SPACE, f"{error}", "look at the volume: docker volume inspect, df -h")
    sys.stdout.flush()
    print(report.report(), file=sys.stderr, flush=True)
    return report.code


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="model_downloader", description=__doc__)
    commands = parser.add_subparsers(dest="command")
    for name, does in (
        ("fetch", "prove offline that the model is there, or download it (what is done without a command)"),
        ("verify", "prove offline that the model is as it was downloaded"),
        ("forget", "remove a model from the volume"),
    ):
        command = commands.add_parser(name, help=does, description=does)
        if name == "forget":  # never by default
            command.add_argument("repo")
        else:
            command.add_argument("repo", nargs="?", help="default: MODEL_REPO")
        command.add_argument("revision", nargs="?", help="default: MODEL_REVISION, else main")
    commands.add_parser("list", help="what lies on the volume, as JSON")
    command = commands.add_parser("prune", help="remove every model but those named, and unfinished downloads")
    command.add_argument("--keep", nargs=2, action="append", required=True, metavar=("REPO", "REVISION"))
    command = commands.add_parser("check", help="weights that others put into a directory: complete and undamaged?")
    command.add_argument("directory", type=Path)
    return parser.parse_args(list(arguments) or ["fetch"])


def _run(given: argparse.Namespace, environment: Mapping[str, str]) -> int:
    if given.command == "check":
        say(json.dumps(check(given.directory)))
        return 0
    root = Path(environment.get("MODELS_DIR", MODELS))
    if not root.is_dir():
        raise Failure(BAD_ARGUMENTS, f"{root} is not there", f"mount the model volume at {root}")
    if given.command == "list":
        say(listing(root))
    elif given.command == "prune":
        say(
            prune(root, {(repo, revision) for repo, revision in given.keep}, time.monotonic() + _timeout_s(environment))
        )
    else:
        _run_on_model(given, environment, root)
    return 0


def _run_on_model(given: argparse.Namespace, environment: Mapping[str, str], root: Path) -> None:
    repo = given.repo or environment.get("MODEL_REPO", "")
    if not repo:
        raise Failure(BAD_ARGUMENTS, "no model is named", "set MODEL_REPO, or give it as an argument: fetch ORG/NAME")
    configured = environment.get("MODEL_REVISION") if repo == environment.get("MODEL_REPO") else None
    revision = given.revision or configured or "main"
    model = Model(root, repo, revision, environment.get("MODEL_FORGET_COMMAND", FORGET_COMMAND))
    started = time.monotonic()
    timeout_s = _timeout_s(environment)
    if given.command == "forget":
        with model.locked(started + timeout_s, exclusive=True):
            freed = model.forget()
        say(f"{repo} {revision}: {amount(freed)} freed" if freed else f"{repo} {revision} was not here")
        return
    if given.command == "verify":
        with model.locked(started + timeout_s, exclusive=False):
            manifest, how = verify(model), "offline"
    else:
        endpoint = environment.get("HF_ENDPOINT", "").rstrip("/") or HUGGING_FACE
        manifest, how = fetch(model, endpoint, _token(environment), timeout_s)
    model.mark_verified()
    say(_summary(manifest, how, time.monotonic() - started))


def _summary(manifest: Manifest, how: str, seconds: float) -> str:
    return json.dumps(
        {
            "repo": manifest.repo,
            "commit": manifest.commit,
            "bytes": manifest.total_bytes,
            "files": len(manifest.files),
            "seconds": round(seconds, 2),
            "verified": how,
        }
    )


def _timeout_s(environment: Mapping[str, str]) -> float:
    text = environment.get("MODEL_TIMEOUT_S", "") or DEFAULT_TIMEOUT_S
    if not text.isdigit() or int(text) == 0:
        raise Failure(BAD_ARGUMENTS, f"MODEL_TIMEOUT_S is {text!r}", "give whole seconds, at least 1")
    return float(text)


def _token(environment: Mapping[str, str]) -> str | None:
    """Only ever from the file: an environment can be read by whoever may inspect the container."""
    path = Path(environment.get("HF_TOKEN_FILE", TOKEN_FILE))
    try:
        return path.read_text(encoding="utf-8").strip() or None
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(BAD_ARGUMENTS, f"the token file {path} cannot be read ({error})") from None


def run_and_exit() -> None:
    code = main(sys.argv[1:], os.environ)
    sys.stdout.flush()
    sys.stderr.flush()
    # A thread that hangs in a read would keep the interpreter from ending in the ordinary way.
    os._exit(code)
