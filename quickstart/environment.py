"""The environment in which `pulumi` works as typed: toolchain, virtual environment, state, daemon and hub."""

from __future__ import annotations

import os
import shlex

import lab.engine
import lab.hub
import toolchain.installation
from machine.paths import VENV
from quickstart import pulumi_state

# On a host over ssh each of Pulumi's requests may be a login of its own until the first one can be shared, and sshd
# drops logins from the tenth on (MaxStartups). Pulumi's own default is four for each core of this machine.
MOST_REQUESTS_AT_A_TIME = 8


def variables() -> dict[str, str]:
    """What to add to the environment; what the user has set stays as it is."""
    found = toolchain.installation.installed()
    added: dict[str, str] = dict(found.environment()) if found else {}
    added |= pulumi_state.environment(found.pulumi_home if found else None)
    daemon = lab.engine.docker_host_in_use()
    if daemon and "DOCKER_HOST" not in os.environ:
        added["DOCKER_HOST"] = daemon
    endpoint = lab.hub.endpoint_in_use()
    if endpoint and "HF_ENDPOINT" not in os.environ:
        added["HF_ENDPOINT"] = endpoint
    if "PULUMI_PARALLEL" not in os.environ:
        added["PULUMI_PARALLEL"] = str(MOST_REQUESTS_AT_A_TIME)
    added["PATH"] = _path(str(found.bin_dir) if found and found.is_ours else None)
    return added


def _path(toolchain_bin: str | None) -> str:
    """Our directories first, each once, however often this is called."""
    ours = [str(VENV / "bin"), *([toolchain_bin] if toolchain_bin else [])]
    rest = [part for part in os.environ.get("PATH", "").split(os.pathsep) if part not in ours]
    return os.pathsep.join([*ours, *rest])


def environment() -> dict[str, str]:
    """The whole environment for a child process."""
    return {**os.environ, **variables()}


def export_lines() -> list[str]:
    """For a POSIX shell to evaluate."""
    return [f"export {key}={shlex.quote(value)}" for key, value in sorted(variables().items())]
