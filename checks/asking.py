"""HTTP as a user of the stack does it, with errors that name the address."""

from __future__ import annotations

from typing import Any

import httpx

from checks.facts import AskerFacts
from host_access.docker_host import DockerHost
from host_access.http_client import gateway_client
from host_access.outcome import CheckFailed
from planning.hosts.ssh import SshHost

TIMEOUT_S = 300.0


class Asker:
    """One base address and key. ``blame`` is the container whose log explains a failure."""

    def __init__(self, facts: AskerFacts, base_url: str):
        self._host = DockerHost(facts.get("docker_host"))
        self._blame: str = facts["blame"]
        self.base_url = base_url
        client = gateway_client(
            base_url,
            facts["api_key"],
            host=SshHost.from_facts(facts.get("docker_host")),
            certificate=facts.get("tls_certificate"),
            timeout_s=TIMEOUT_S,
        )
        self._client, self._tunnel = client.http, client.tunnel

    def request(self, method: str, path: str, *expected_statuses: int, **arguments: Any) -> httpx.Response:
        """Send a request; CheckFailed unless the status is an expected one, by default 200."""
        expected = expected_statuses or (200,)
        try:
            answer = self._client.request(method, path, **arguments)
        except httpx.HTTPError as error:
            told = f"; ssh says: {self._tunnel.said()}" if self._tunnel and self._tunnel.said() else ""
            got = f"{type(error).__name__}: {error}{told}"
            raise self.failure(f"an answer from {self.base_url}{path}", got) from None
        if answer.status_code not in expected:
            got = f"{answer.status_code}: {answer.text[:400]}"
            wanted = " or ".join(map(str, expected))
            raise self.failure(f"status {wanted} from {method} {self.base_url}{path}", got)
        return answer

    def failure(self, expected: str, got: str, do: str = "") -> CheckFailed:
        return CheckFailed(
            expected=expected,
            got=got,
            do=do or f"see the log: docker logs {self._blame}; then `pulumi up` asks again",
            container=self._blame,
            log=self._host.last_log_lines(self._blame),
        )
