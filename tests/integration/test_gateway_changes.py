"""The gateway as Pulumi deploys it, alone: TLS, keys that are rotated under load, and what nginx would refuse."""

from __future__ import annotations

import base64
import ssl
import uuid
from collections.abc import Iterator
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from host_access.certificates import certificate_fingerprint, make_certificate, pinned
from planning.hosts.images import image_names
from tests.integration.conftest import dev_config, remove_leftovers
from tests.integration.gateway_load import Load
from tests.integration.gateway_rig import BACKEND_SOURCE
from tests.integration.pulumi_project import Project, docker, free_port, started_at
from tests.polling import until

pytestmark = pytest.mark.integration
PROGRAM = Path(__file__).with_name("gateway_program.py")
OLD, NEW = "Old-" * 10, "New-" * 10


class Deployed:
    """The gateway, a backend beside it, and the settings it was deployed with."""

    def __init__(self, project: Project, settings: dict[str, Any]):
        self.project, self.settings = project, settings
        self.container = f"{project.prefix}-gateway"
        self.backend = f"{project.prefix}-test-backend"

    def set_key(self, name: str, key: str) -> None:
        arguments = ("config", "set", "--stack", self.project.stack, "--secret", "--path")
        self.project.pulumi(*arguments, f"pageindex-stack:api_keys.{name}", key)

    def connect(self) -> HTTPSConnection:
        there = urlsplit(self.project.outputs()["api_url"])
        context = pinned(self.project.outputs()["tls_certificate"])
        return HTTPSConnection(str(there.hostname), there.port, timeout=20, context=context)

    def status(self, key: str) -> int:
        connection = self.connect()
        connection.request("GET", "/v1/models", headers={"Authorization": f"Bearer {key}", "Host": "localhost"})
        status = connection.getresponse().status
        connection.close()
        return status

    def add_backend(self) -> None:
        """In the place of vLLM: its line is what a rollout would have written."""
        docker("run", "--detach", "--name", self.backend, "--network", f"{self.project.prefix}-internal",
               "--network-alias", "vllm-0", "--label", f"pageindex-stack.stack={self.project.prefix}",
               image_names()["python"], "python", "-c", BACKEND_SOURCE)  # fmt: skip
        line = base64.b64encode(b"server vllm-0:8000 resolve max_fails=1 fail_timeout=2s;  # slot 0\n").decode()
        put = f"echo {line} | base64 -d | sh /run/pageindex-stack/replicas.sh put replicas.conf"
        docker("exec", self.container, "sh", "-c", f"{put} && sh /run/pageindex-stack/replicas.sh reload")
        until(lambda: self.status(OLD) == 200, "the backend is found", 20)


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    project = Project(tmp_path_factory.mktemp("gateway"), f"test-{uuid.uuid4().hex[:6]}")
    (project.directory / "__main__.py").unlink()
    (project.directory / "__main__.py").symlink_to(PROGRAM)
    settings = dev_config(free_port(), free_port())
    limits = {"requests_per_minute": 1_000_000}
    settings["gateway"] |= {"tls": "self-signed", "clients": {"alice": limits}}
    project.write_stack_file(settings)
    project.pulumi("stack", "init", project.stack)
    made = Deployed(project, settings)
    made.set_key("alice", OLD)
    try:
        project.up()
        made.add_backend()
        yield made
    finally:
        docker("rm", "--force", made.backend, ok=False)
        project.pulumi("destroy", "--stack", project.stack, "--yes", "--skip-preview", ok=False)
        remove_leftovers(project.prefix)


def test_it_speaks_https_with_the_certificate_whose_fingerprint_is_told(deployed: Deployed) -> None:
    outputs = deployed.project.outputs()
    assert outputs["api_url"].startswith("https://127.0.0.1:")
    there = urlsplit(outputs["api_url"])
    shown = ssl.get_server_certificate((str(there.hostname), int(there.port or 0)))
    assert certificate_fingerprint(shown) == outputs["tls_fingerprint"]


def test_a_key_is_rotated_under_load_without_losing_a_request_or_replacing_the_container(deployed: Deployed) -> None:
    before, told = started_at(deployed.container), deployed.project.outputs()["tls_fingerprint"]
    with Load(deployed.connect, OLD, clients=4) as load:
        until(lambda: load.answers[200] > 50, "the load runs", 30)
        deployed.set_key("alice@next", NEW)
        deployed.project.up()
        assert deployed.status(NEW) == 200
        count = load.answers[200]
        until(lambda: load.answers[200] > count + 50, "the old key goes on", 30)
    assert set(load.answers) == {200}, load.answers
    arguments = ("config", "rm", "--stack", deployed.project.stack, "--path")
    deployed.project.pulumi(*arguments, "pageindex-stack:api_keys.alice")
    deployed.project.up()
    assert (deployed.status(NEW), deployed.status(OLD)) == (200, 401)
    assert started_at(deployed.container) == before
    assert deployed.project.outputs()["tls_fingerprint"] == told


def test_a_container_of_another_project_reaches_it_by_its_name_and_nothing_else_of_ours(deployed: Deployed) -> None:
    project, network = deployed.project, f"{deployed.project.prefix}-test-neighbours"
    key = next(key for key in (OLD, NEW) if deployed.status(key) == 200)

    def ask(url: str, *headers: str) -> str:
        given = [part for header in headers for part in ("-H", header)]
        curl = ["--entrypoint", "curl", image_names()["nginx"], "-ksS", "-o", "/dev/null", "-w", "%{http_code}"]
        return docker("run", "--rm", "--network", network, *curl, *given, url, ok=False)

    before = started_at(deployed.container)
    project.pulumi("config", "set", "--stack", project.stack, "--path", "pageindex-stack:gateway.networks[0]", network)
    try:
        missing = project.up(ok=False)
        assert f"docker network create {network}" in missing.stdout
        assert started_at(deployed.container) == before, "it runs on"
        docker("network", "create", network)
        project.up()
        until(lambda: deployed.status(key) == 200, "the gateway is back", 20)
        models = f"https://{deployed.container}:8080/v1/models"
        assert ask(models, f"Authorization: Bearer {key}") == "200"
        assert ask(models) == "401"
        assert ask(f"http://{deployed.container}:8083/v1/models", f"Authorization: Bearer {key}") == "401"
        for url in ("http://vllm-0:8000/", f"http://{deployed.backend}:8000/", "http://gateway-metrics:9145/metrics"):
            assert ask(url) == "000", "no such name there"
    finally:
        project.pulumi("config", "rm", "--stack", project.stack, "--path", "pageindex-stack:gateway.networks")
        project.up()
        docker("network", "rm", network, ok=False)


def test_keys_show_in_no_state_inspect_log_or_command_line(deployed: Deployed) -> None:
    texts = [file.read_text(errors="replace")
             for file in (deployed.project.directory / "state").rglob("*") if file.is_file()]  # fmt: skip
    texts += [
        docker("inspect", deployed.container),
        docker("logs", deployed.container),
        deployed.project.stack_file.read_text(),
    ]
    assert not any(key in text for key in (OLD, NEW, "PRIVATE KEY") for text in texts)


def test_a_second_preview_finds_nothing_to_do(deployed: Deployed) -> None:
    arguments = ("preview", "--stack", deployed.project.stack, "--expect-no-changes")
    deployed.project.pulumi(*arguments)
    deployed.project.pulumi(*arguments, "--refresh")


def test_a_certificate_that_nginx_refuses_ends_the_up_and_the_gateway_runs_on(deployed: Deployed) -> None:
    before, told = started_at(deployed.container), deployed.project.outputs()["tls_fingerprint"]
    (certificate, _), (_, another_key) = make_certificate(["localhost"]), make_certificate(["localhost"])
    folder = deployed.project.directory
    (folder / "c.pem").write_text(certificate)
    (folder / "k.pem").write_text(another_key)
    tls = {"certificate": str(folder / "c.pem"), "key": str(folder / "k.pem")}
    arguments = ("config", "set", "--stack", deployed.project.stack, "--path")
    deployed.project.pulumi("config", "rm", "--stack", deployed.project.stack, "--path", "pageindex-stack:gateway.tls")
    for name, path in tls.items():
        deployed.project.pulumi(*arguments, f"pageindex-stack:gateway.tls.{name}", path)
    refused = deployed.project.up(ok=False)
    printed = refused.stdout + refused.stderr
    assert refused.returncode != 0
    assert "key values mismatch" in printed
    assert another_key.splitlines()[1] not in printed
    there = urlsplit(deployed.project.outputs()["api_url"])
    shown = ssl.get_server_certificate((str(there.hostname), int(there.port or 0)))
    assert certificate_fingerprint(shown) == told
    assert started_at(deployed.container) == before
