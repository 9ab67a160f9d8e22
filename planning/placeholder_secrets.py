"""`python -m planning.placeholder_secrets FILE`: make a stack file readable without its passphrase, for a preview.

What is encrypted goes out of it, and with it the salt that only the right passphrase opens. For each secret two lines
are printed, `--secret` and `path=placeholder`: arguments of `pulumi config set-all --path`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from planning.settings.config_commands import path_text
from planning.settings.errors import NAMESPACE
from planning.stack_yaml import read_stack_file

KEYS = f"{NAMESPACE}:api_keys"
GATEWAY = f"{NAMESPACE}:gateway"


def placeholders(config: Mapping[str, Any]) -> dict[tuple[str, ...], str]:
    """Path and placeholder of each secret in a stack file's ``config``. No two are alike: keys must differ."""
    paths = list(_encrypted(config))
    if (KEYS,) in paths:  # the whole map is one value: its names are those that the gateway's settings speak of
        gateway = config.get(GATEWAY) or {}
        names = [*gateway.get("clients", ()), *gateway.get("key_expires", ())] or ["client"]
        paths = [path for path in paths if path != (KEYS,)] + [(KEYS, name) for name in dict.fromkeys(names)]
    return {path: f"stands-in-for-a-secret-{number:017d}" for number, path in enumerate(paths)}


def without_secrets(config: Mapping[str, Any]) -> dict[str, Any]:
    """``config`` without what is encrypted in it."""
    return {
        key: without_secrets(value) if isinstance(value, Mapping) else value
        for key, value in config.items()
        if not _is_encrypted(value)
    }


def with_placeholders(config: Mapping[str, Any]) -> dict[str, Any]:
    """``config`` with a placeholder in the place of each secret."""
    filled = without_secrets(config)
    for path, value in placeholders(config).items():
        area = filled
        for part in path[:-1]:
            area = area.setdefault(part, {})
        area[path[-1]] = value
    return filled


def _encrypted(value: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, inner in value.items():
        if _is_encrypted(inner):
            yield (*path, key)
        elif isinstance(inner, Mapping):
            yield from _encrypted(inner, (*path, key))


def _is_encrypted(value: Any) -> bool:
    return isinstance(value, Mapping) and set(value) == {"secure"}


def main(file: Path) -> None:
    config = read_stack_file(file).get("config") or {}
    file.write_text(yaml.safe_dump({"config": without_secrets(config)}, sort_keys=False), encoding="utf-8")
    for path, value in placeholders(config).items():
        print("--secret", f"{path_text(path)}={value}", sep="\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
