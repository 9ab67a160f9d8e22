"""A recorder of what a program registers, options and parents included; nothing is deployed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pulumi
import pytest
from google.protobuf import json_format
from pulumi.runtime.mocks import MockCallArgs, MockMonitor, MockResourceArgs, Mocks

from host_access.docker_host import DockerHost


class Echo(Mocks):
    """Every resource comes out as it went in, with the outputs that our program reads."""

    def new_resource(self, args: MockResourceArgs) -> tuple[str, dict[str, Any]]:
        outputs = dict(args.inputs)
        if args.typ == "docker:index/remoteImage:RemoteImage":
            outputs["imageId"] = f"sha256:{args.name}"
        if args.typ == "command:local:Command":
            outputs["stdout"] = '{"ok": true}' if "checks" in str(args.inputs.get("create")) else "k" * 43
        return f"{args.name}-id", outputs

    def call(self, args: MockCallArgs) -> Any:
        raise AssertionError(f"{args.token}: an invoke needs the daemon at preview, which pull requests do not have")


class Recorder(MockMonitor):
    def __init__(self) -> None:
        super().__init__(Echo())
        self.requests: dict[tuple[str, str], Any] = {}

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 (gRPC's name)
        self.requests[request.type, request.name] = request
        return super().RegisterResource(request)


Made = dict[tuple[str, str], Any]


@pytest.fixture
def deploy(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], Made]:
    """Run a program; return its registrations once all of them have landed.

    ``ends`` is what the host says of containers whose process ended, by the container's id.
    """

    def run(program: Callable[[], Any], stack: str = "dev", ends: Mapping[str, str] | None = None) -> Made:
        monkeypatch.setattr(DockerHost, "last_end", lambda host, container: (ends or {}).get(container, ""))
        recorder = Recorder()
        pulumi.runtime.set_mocks(recorder.mocks, project="pageindex-stack", stack=stack, monitor=recorder)

        @pulumi.runtime.test
        def drain() -> None:
            program()

        drain()
        return recorder.requests

    return run


def plain(request: Any) -> dict[str, Any]:
    """A registration's inputs as Python values, secrets still wrapped in their marks."""
    return json_format.MessageToDict(request.object)


def is_secret(value: Any) -> bool:
    """Whether a value of ``plain`` carries Pulumi's mark of a secret."""
    return (
        isinstance(value, dict) and value.get("4dabf18193072939515e22adb298388d") == "1b47061264138c4ac30d75fd1eb44270"
    )
