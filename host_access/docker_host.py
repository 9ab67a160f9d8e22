"""The host's containers, seen through the docker command line: what they are, what they say."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from host_access.commands import commands_on
from host_access.outcome import CheckFailed
from planning.hosts.ssh import HostAddress

COMMAND_TIMEOUT_S = 60
LOG_LINES = 20
GONE = re.compile(r"no such container: (\S+)", re.IGNORECASE)
NEVER = "0001-"  # as Docker says when something has not happened
COMMAND_NOT_FOUND = 127
NO_DOCKER = re.compile(r"docker: (command )?not found|command not found: docker")  # in the words of all shells


class DockerHost:
    """One daemon, asked by its own host's docker command line."""

    def __init__(self, address: HostAddress = None):
        self._commands = commands_on(address)

    def _run(
        self, *arguments: str, text: str | None = None, timeout_s: float = COMMAND_TIMEOUT_S
    ) -> subprocess.CompletedProcess[str]:
        try:
            done = self._commands.run(["docker", *arguments], text=text, timeout_s=timeout_s)
        except subprocess.TimeoutExpired:
            raise CheckFailed(
                expected=f"an answer from the Docker daemon within {timeout_s:.0f} s",
                got=f"none to `docker {' '.join(arguments[:2])}`",
                do="look whether the daemon lives: docker info",
            ) from None
        if done.returncode == COMMAND_NOT_FOUND and NO_DOCKER.search(done.stderr):
            raise CheckFailed(
                expected="the docker command line",
                got="no `docker` on PATH",
                do="install it (Debian: apt-get install docker.io; elsewhere Docker's own docker-ce-cli)",
            )
        return done

    def _answer(self, *arguments: str, timeout_s: float = COMMAND_TIMEOUT_S) -> str:
        done = self._run(*arguments, timeout_s=timeout_s)
        if done.returncode != 0:
            if gone := GONE.search(done.stderr):
                raise CheckFailed(expected=f"container {gone[1]}", got="somebody removed it", do="pulumi up --refresh")
            raise CheckFailed(
                expected=f"`docker {' '.join(arguments[:3])}` to work",
                got=done.stderr.strip() or f"exit code {done.returncode}",
                do="run it by hand; `pulumi up --refresh` brings back what was removed",
            )
        return done.stdout

    def engine_version(self) -> tuple[int, ...]:
        """For example (28, 5, 2)."""
        text = self._answer("version", "--format", "{{.Server.Version}}").strip()
        return tuple(int(part) for part in text.split("+")[0].split("-")[0].split("~")[0].split(".")[:3])

    def container(self, name: str) -> dict[str, Any]:
        """`docker inspect` of one container."""
        found: list[dict[str, Any]] = json.loads(self._answer("container", "inspect", name))
        return found[0]

    def published_ports(self, name: str) -> set[int]:
        """Host ports that a container holds; none if there is no such container."""
        done = self._run("container", "inspect", "--format", "{{json .HostConfig.PortBindings}}", name)
        bindings = json.loads(done.stdout or "null") if done.returncode == 0 else None
        return {int(binding["HostPort"]) for each in (bindings or {}).values() for binding in each or []}

    def has_network(self, name: str) -> bool:
        """Whether there is such a network."""
        return name in self._answer("network", "ls", "--format", "{{.Name}}").split()

    def network(self, name: str) -> dict[str, Any]:
        """`docker inspect` of one network."""
        found: list[dict[str, Any]] = json.loads(self._answer("network", "inspect", name))
        return found[0]

    def start(self, name: str) -> None:
        """Start a container that has ended."""
        self._answer("start", name)

    def stop(self, name: str, grace_s: float) -> None:
        """Stop a container, whose processes have ``grace_s`` to end by themselves."""
        self._answer("stop", "--time", f"{grace_s:.0f}", name, timeout_s=grace_s + COMMAND_TIMEOUT_S)

    def set_restart(self, name: str, policy: str) -> None:
        """Change when Docker itself starts a container."""
        self._answer("update", "--restart", policy, name)

    def labelled(self, labels: Mapping[str, str]) -> list[dict[str, Any]]:
        """`docker inspect` of all containers with these labels, running or not."""
        filters = [part for label, value in labels.items() for part in ("--filter", f"label={label}={value}")]
        names = self._answer("ps", "--all", "--quiet", "--no-trunc", *filters).split()
        if not names:
            return []
        # One that is removed in between is no failure: the others are still printed.
        found: list[dict[str, Any]] = json.loads(self._run("container", "inspect", *names).stdout or "[]")
        return found

    def is_running(self, name: str) -> bool:
        """Whether there is such a container, and it runs."""
        done = self._run("container", "inspect", "--format", "{{.State.Running}}", name)
        return done.returncode == 0 and done.stdout.strip() == "true"

    def last_end(self, name: str) -> str:
        """When the last process of a container ended, also if another one runs by now; empty if none ever did.

        `removed` where there is no such container, and empty where nobody answers.
        """
        try:
            done = self._run("container", "inspect", "--format", "{{.State.FinishedAt}}", name)
        except CheckFailed:
            return ""
        if done.returncode != 0:
            return "removed" if GONE.search(done.stderr) else ""
        return "" if done.stdout.startswith(NEVER) else done.stdout.strip()

    def execute(
        self, name: str, command: Sequence[str], *, text: str | None = None, timeout_s: float = COMMAND_TIMEOUT_S
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside, to the end, whatever its exit code; ``text`` goes to its standard input."""
        return self._run("exec", "--interactive", name, *command, text=text or "", timeout_s=timeout_s)

    def run_once(
        self,
        image: str,
        command: Sequence[str],
        *,
        user: str,
        volumes: Mapping[str, str],
        capability: str | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in a container of its own, without network or writable root; ``volumes`` maps names to paths.

        To the end, whatever its exit code.
        """
        program, *arguments = command
        limits = ["--rm", "--pull", "never", "--network", "none", "--read-only", "--cap-drop", "ALL"]
        limits += ["--cap-add", capability] if capability else []
        limits += ["--security-opt", "no-new-privileges", "--user", user, "--entrypoint", program]
        limits += [part for name, path in volumes.items() for part in ("--volume", f"{name}:{path}")]
        return self._run("run", *limits, image, *arguments)

    def read_file(self, container: str, path: str) -> str:
        """A text file as the container's own processes see it; empty if there is none."""
        done = self._run("exec", container, "cat", path)
        return done.stdout if done.returncode == 0 else ""

    def last_log_lines(self, container: str, count: int = LOG_LINES) -> list[str]:
        """What the container said last, both streams, without empty lines."""
        done = self._run("logs", "--tail", str(count), container)
        return [line.rstrip() for line in (done.stdout + done.stderr).splitlines() if line.strip()][-count:]
