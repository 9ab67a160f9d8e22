"""Weights that somebody else put somewhere: complete, and as long as their own headers say?

Nothing vouches for their content, unless there is a manifest of ours beside them.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from model_downloader.failure import BAD_ARGUMENTS, CHANGED_FILE, Failure
from model_downloader.store import MANIFEST
from model_downloader.verify import digest

CONFIG = "config.json"
INDEX = "model.safetensors.index.json"
HEADER_BYTES = 8
MAX_HEADER_BYTES = 100_000_000  # the format's own limit
SHARD = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.safetensors")
COPY_AGAIN = "copy it there again, whole, and deploy again"


def check(directory: Path) -> dict[str, Any]:
    """What was found; Failure at the first thing that keeps vLLM from loading it, or makes it load another model."""
    if not directory.is_dir():
        raise Failure(BAD_ARGUMENTS, f"{directory} is not a directory", "mount the weights there")
    _object(directory, CONFIG)
    tensors = {file.name: _tensors(file) for file in sorted(directory.glob("*.safetensors"))}
    if not tensors:
        raise Failure(
            CHANGED_FILE, f"{directory} has no safetensors files", "copy the model there; pickle is not loaded"
        )
    for missing, why in _missing(directory, tensors):
        raise Failure(CHANGED_FILE, f"{missing} is missing: {why}", COPY_AGAIN)
    hashed = _by_manifest(directory)
    size = sum((directory / name).stat().st_size for name in tensors)
    return {"directory": str(directory), "bytes": size, "files": len(tensors), "verified": hashed or "sizes"}


def _object(directory: Path, name: str) -> dict[str, Any]:
    path = directory / name
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Failure(CHANGED_FILE, f"{path} is missing", COPY_AGAIN) from None
    except PermissionError:
        raise _unreadable(path) from None
    except ValueError as error:
        raise Failure(CHANGED_FILE, f"{path} is not JSON ({error})", COPY_AGAIN) from None
    if not isinstance(found, dict):
        raise Failure(CHANGED_FILE, f"{path} is not a JSON object", COPY_AGAIN)
    return found


def _unreadable(path: Path) -> Failure:
    return Failure(BAD_ARGUMENTS, f"{path} may not be read by vLLM's user", "on the host: chmod -R a+rX that directory")


def _tensors(file: Path) -> set[str]:
    """Names of the tensors in a file that is exactly as long as its header says."""
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            start = stream.read(HEADER_BYTES)
            length = struct.unpack("<Q", start)[0] if len(start) == HEADER_BYTES else MAX_HEADER_BYTES + 1
            header = json.loads(stream.read(length)) if length <= min(size, MAX_HEADER_BYTES) else None
        end = max((tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__"), default=0)
    except PermissionError:
        raise _unreadable(file) from None
    except (ValueError, AttributeError, KeyError, TypeError):
        raise Failure(CHANGED_FILE, f"{file} is not a safetensors file", COPY_AGAIN) from None
    expected = HEADER_BYTES + length + end
    if size != expected:
        raise Failure(CHANGED_FILE, f"{file} has {size} bytes, by its own header {expected}", COPY_AGAIN)
    return set(header) - {"__metadata__"}


def _missing(directory: Path, tensors: Mapping[str, set[str]]) -> Iterator[tuple[str, str]]:
    """Files and tensors that the index, or the numbering of the files, promises and that are not there."""
    if (directory / INDEX).exists():
        promised = _object(directory, INDEX).get("weight_map")
        if not isinstance(promised, dict):
            raise Failure(CHANGED_FILE, f"{directory / INDEX} has no weight_map", COPY_AGAIN)
        for tensor, name in promised.items():
            if name not in tensors:
                yield str(directory / name), f"{INDEX} names it"
            elif tensor not in tensors[name]:
                yield f"tensor {tensor} of {directory / name}", f"{INDEX} names it"
        return
    for name in tensors:
        if numbered := SHARD.fullmatch(name):
            stem, _, count = numbered.groups()
            for number in range(1, int(count) + 1):
                other = f"{stem}-{number:05}-of-{count}.safetensors"
                if other not in tensors:
                    yield str(directory / other), f"{name} is one of {int(count)}"


def _by_manifest(directory: Path) -> str:
    """Compare checksums where a manifest of ours lies beside the weights; another program's says nothing to us."""
    try:
        content = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
        records = [(str(each["path"]), str(each["sha256"])) for each in content["files"]]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    for name, sha256 in records:
        path = directory / name
        found = digest(path) if path.is_file() else "no such file"
        if found != sha256:
            raise Failure(CHANGED_FILE, f"{path} has changed: expected sha256 {sha256}, got {found}", COPY_AGAIN)
    return "sha256"
