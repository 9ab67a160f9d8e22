"""A Pulumi project of the tests' own: this clone's program, with stack files, state and names of its own."""

from __future__ import annotations

import json
import random
import socket
import subprocess
from pathlib import Path
from typing import Any

import yaml

from quickstart.environment import environment

REPOSITORY = Path(__file__).resolve().parents[2]
PROGRAM = (
    "__main__.py", "stack_file.py", "wiring", "components", "planning", "host_access", "machine", "checks",
    "rollout", "services", "samples", "images.compose.yaml", "Pulumi.yaml", ".venv",
)  # fmt: skip
PASSPHRASE = "only-for-tests"


def free_port() -> int:
    """A port on loopback that nobody listens on, below those that the kernel gives to outgoing connections."""
    for port in random.sample(range(20000, 32000), 50):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no free port")


class Project:
    """One directory with one stack. Everything it makes on the host starts with ``prefix``."""

    def __init__(self, directory: Path, stack: str):
        self.directory, self.stack, self.prefix = directory, stack, f"pageindex-{stack}"
        self._outputs: dict[str, Any] | None = None
        for name in PROGRAM:
            (directory / name).symlink_to(REPOSITORY / name)
        backend = directory / "state"
        backend.mkdir()
        self.environment = {
            **environment(),
            "PULUMI_BACKEND_URL": f"file://{backend}",
            "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
            "PULUMI_ERROR_OUTPUT_STRING": "1",
        }
        self.environment.pop("PULUMI_CONFIG_PASSPHRASE_FILE", None)

    @property
    def stack_file(self) -> Path:
        return self.directory / f"Pulumi.{self.stack}.yaml"

    def write_stack_file(self, config: dict[str, Any]) -> None:
        """Replace the configuration; the encryption salt, once Pulumi wrote one, stays."""
        old = yaml.safe_load(self.stack_file.read_text()) if self.stack_file.exists() else {}
        content = {**old, "config": {f"pageindex-stack:{key}": value for key, value in config.items()}}
        self.stack_file.write_text(yaml.safe_dump(content))

    def pulumi(self, *arguments: str, ok: bool = True, timeout_s: float = 900) -> subprocess.CompletedProcess[str]:
        """Run pulumi; with ``ok`` a failure fails the test, with everything that was printed."""
        done = subprocess.run(
            ["pulumi", *arguments, "--non-interactive", "--color", "never"],
            cwd=self.directory,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        assert not ok or done.returncode == 0, f"pulumi {' '.join(arguments)}\n{done.stdout}\n{done.stderr}"
        return done

    def up(self, *flags: str, ok: bool = True) -> subprocess.CompletedProcess[str]:
        self._outputs = None
        return self.pulumi("up", "--stack", self.stack, "--yes", "--skip-preview", *flags, ok=ok)

    def replaced_by_preview(self) -> set[str]:
        """Names of the resources that the next `up` would create or replace."""
        steps = json.loads(self.pulumi("preview", "--stack", self.stack, "--json").stdout)["steps"]
        return {step["urn"].rsplit("::", 1)[1] for step in steps if step["op"] not in {"same", "read"}}

    def outputs(self) -> dict[str, Any]:
        """The stack's outputs, secrets in clear; asked once after each `up`."""
        if self._outputs is None:
            printed = self.pulumi("stack", "output", "--stack", self.stack, "--json", "--show-secrets").stdout
            self._outputs = json.loads(printed)
        return self._outputs


def docker(*arguments: str, ok: bool = True) -> str:
    """Run docker on the daemon under test."""
    done = subprocess.run(["docker", *arguments], env=environment(), capture_output=True, text=True, check=False)
    assert not ok or done.returncode == 0, f"docker {' '.join(arguments)}: {done.stderr}"
    return done.stdout.strip()


def replica(prefix: str, slot: int = 0, served: str = "") -> str:
    """Name of the container that runs in a replica's place: Pulumi makes a new one at each replacement."""
    labels = (f"stack={prefix}", "component=vllm", f"replica={slot}", *([f"served={served}"] if served else []))
    filters = [part for label in labels for part in ("--filter", f"label=pageindex-stack.{label}")]
    [name] = docker("ps", *filters, "--format", "{{.Names}}").split()
    return name


def started_at(container: str) -> str:
    """Changes when a container is replaced or restarted."""
    return docker("inspect", "--format", "{{.Id}} {{.State.StartedAt}}", container)
