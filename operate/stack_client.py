"""HTTP to a deployed stack, as whoever deployed it has it: over ssh where its host is remote, with its certificate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from host_access.http_client import gateway_client
from planning.hosts.ssh import SshHost
from planning.settings.areas import HostSettings


def client_of(outputs: Mapping[str, Any], host: HostSettings, url: str, timeout_s: float) -> httpx.Client:
    """A client with the first client's key for ``outputs[url]``. The gateway is on the host's loopback alone."""
    base_url = outputs[url].removesuffix("/v1")
    certificate = outputs.get("tls_certificate")
    return gateway_client(
        base_url, outputs["api_key"], host=SshHost.of(host), certificate=certificate, timeout_s=timeout_s
    ).http
