"""A stack file's YAML, read as Pulumi reads it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

BOOL = "tag:yaml.org,2002:bool"


class _Loader(yaml.SafeLoader):
    """YAML 1.2's truth values: `no`, `off` and the like are words. Pulumi writes `restart: no` without quotes."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != BOOL]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(BOOL, re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))


def read_stack_file(path: Path) -> dict[str, Any]:
    """The content of a stack file; empty where the file is."""
    return yaml.load(path.read_text(encoding="utf-8"), _Loader) or {}  # noqa: S506 (a SafeLoader)
