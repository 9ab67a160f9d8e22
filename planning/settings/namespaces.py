"""Keys of a stack file that this program does not read, because another namespace stands in front of them.

Pulumi gives each key to whoever has its namespace, and says nothing when that is nobody. A mistyped namespace would
leave the program with its defaults.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from planning.settings.config_commands import rename_line, rm_line
from planning.settings.errors import NAMESPACE, ConfigError
from planning.settings.readings import meant_name

READ_BY_PULUMI = {"pulumi"}  # tags, default providers and the like
# The program makes its own providers from `host`; these settings are for Pulumi's default providers.
INSTEAD = {"docker:host": "host.docker", "docker:sshOpts": "host.identity_file and host.host_key"}
PROVIDERS = {"docker", "command"}


@dataclass(frozen=True)
class ForeignKeys:
    """What was found: errors stop the program, warnings are shown at each preview."""

    errors: tuple[ConfigError, ...] = ()
    warnings: tuple[str, ...] = ()


def foreign_keys(keys: Collection[str], known: Collection[str], stack: str) -> ForeignKeys:
    """Judge the keys of a stack file, each with its namespace; ``known`` are the names that this program reads."""
    taken = set(keys)
    errors, warnings = [], []
    for key in keys:
        namespace, _, name = key.partition(":")
        if namespace == NAMESPACE or namespace in READ_BY_PULUMI:
            continue
        if meant_name(namespace, [NAMESPACE]) or (name in known and namespace not in PROVIDERS):
            right = f"{NAMESPACE}:{meant_name(name, sorted(known)) or name.strip()}"
            errors.append(_mistyped(key, right, taken, stack))
            taken.add(right)
        else:
            warnings.append(_unread(key, namespace, stack))
    return ForeignKeys(tuple(errors), tuple(warnings))


def _mistyped(key: str, right: str, taken: Collection[str], stack: str) -> ConfigError:
    namespace, _, name = key.partition(":")
    reason = f"nobody reads this key, so its value has no effect; {right} was meant"
    if right in taken:
        reason += ", which the file has, too"
        return ConfigError(name, reason, rm_line([key], stack), namespace=namespace)
    return ConfigError(name, reason, rename_line(key, right, stack), namespace=namespace)


def _unread(key: str, namespace: str, stack: str) -> str:
    remove = rm_line([key], stack)
    if namespace in PROVIDERS:
        meant = meant_name(key, list(INSTEAD))
        instead = f"; {NAMESPACE}:{INSTEAD[meant]} says it here" if meant else ""
        return f"{key} has no effect: this program configures its {namespace} provider itself{instead} ({remove})"
    return f"{key} has no effect: nothing in this program reads the namespace {namespace} ({remove})"
