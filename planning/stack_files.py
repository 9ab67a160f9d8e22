"""Stack files as they lie in a folder, read without Pulumi."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from planning.placeholder_secrets import placeholders, with_placeholders
from planning.plan import StackPlan, plan_stack
from planning.settings.areas import HostSettings, StackSecrets
from planning.settings.errors import NAMESPACE
from planning.stack_yaml import read_stack_file

ROOT = Path(__file__).resolve().parents[1]
PREFIX = f"{NAMESPACE}:"


def stack_file_of(name: str) -> Path:
    """The file of a stack, by the stack's name or its own."""
    path = Path(name)
    return path if path.suffix in {".yaml", ".yml"} else ROOT / f"Pulumi.{name}.yaml"


def plan_of_file(path: Path) -> StackPlan:
    """Plan a stack from its file as it lies there; encrypted values count as given."""
    config = _config_of(path)
    given = own_settings(with_placeholders(config))
    encrypted = {key.removeprefix(PREFIX) for key, *_ in placeholders(config)}
    secrets = {key: given.pop(key) for key in StackSecrets.model_fields if key in given}
    name = path.name.removeprefix("Pulumi.").rsplit(".", 1)[0]
    return plan_stack(name, given, secrets, keys=list(config), encrypted=encrypted)


def host_in(path: Path) -> HostSettings:
    """The host that a stack file names, whatever else is in it."""
    return HostSettings.model_validate(area_in(path, "host"))


def area_in(path: Path, area: str) -> dict[str, Any]:
    """One area of a stack file as it is written, unchecked; empty where the file has none."""
    return own_settings(_config_of(path)).get(area) or {}


def own_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """What a file's configuration says under this program's keys, without those that it leaves empty."""
    own = {key.removeprefix(PREFIX): value for key, value in config.items() if key.startswith(PREFIX)}
    return {key: value for key, value in own.items() if value not in (None, "", {})}


def _config_of(path: Path) -> dict[str, Any]:
    config = read_stack_file(path).get("config") or {}
    return {_full_key(str(key)): value for key, value in config.items()}


def _full_key(key: str) -> str:
    """A key as Pulumi reads it: one without a namespace has the project's, and `config:` in the middle is left out."""
    namespace, colon, name = key.partition(":")
    return f"{namespace}:{name.removeprefix('config:')}" if colon else f"{PREFIX}{key}"
