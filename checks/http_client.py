"""HTTP as a user of the stack does it, with errors that name the address."""

from __future__ import annotations

from typing import Any

import httpx

from checks.docker_host import DockerHost
from checks.outcome import CheckFailed

TIMEOUT_S = 300.0


class Asker:
    """One base address and key. ``blame`` is the container whose log explains a failure."""

    def __init__(self, facts: dict[str, Any], base_url: str):
        self._host = DockerHost(facts.get("docker_host"))
        self._blame: str = facts["blame"]
        self.base_url = base_url
        self._client = httpx.Client(
            base_url=base_url,
            headers={"Authorization": f"Bearer {facts['api_key']}"},
            timeout=httpx.Timeout(TIMEOUT_S, connect=10),
            trust_env=False,  # a proxy of the environment must not see the key
        )

    def request(self, method: str, path: str, expected_status: int = 200, **arguments: Any) -> httpx.Response:
        """Send a request; CheckFailed unless the status is the expected one."""
        try:
            answer = self._client.request(method, path, **arguments)
        except httpx.HTTPError as error:
            raise self.failure(f"an answer from {self.base_url}{path}", f"{type(error).__name__}: {error}") from None
        if answer.status_code != expected_status:
            got = f"{answer.status_code}: {answer.text[:400]}"
            raise self.failure(f"status {expected_status} from {method} {self.base_url}{path}", got)
        return answer

    def failure(self, expected: str, got: str, do: str = "") -> CheckFailed:
        return CheckFailed(
            expected=expected,
            got=got,
            do=do or f"see the log: docker logs {self._blame}; then `pulumi up` asks again",
            container=self._blame,
            log=self._host.last_log_lines(self._blame),
        )
