"""An HTTP client to a gateway: through a tunnel where its host is remote, trusting its one certificate."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx

from host_access.certificates import pinned
from host_access.tunnel import Tunnel
from planning.hosts.ssh import SshHost


@dataclass(frozen=True)
class GatewayClient:
    """``tunnel`` says what ssh said when a request fails; None on a local host."""

    http: httpx.Client
    tunnel: Tunnel | None


def gateway_client(
    base_url: str, api_key: str, *, host: SshHost | None, certificate: str | None, timeout_s: float
) -> GatewayClient:
    """A client with a key. The gateway listens on its host's own loopback, which is elsewhere when the host is."""
    there = urlsplit(base_url)
    tunnel = Tunnel(host, there.hostname or "127.0.0.1", there.port or 80) if host else None
    # The certificate that was deployed, and no other: this is the gateway, whoever may vouch for something else.
    verify = pinned(certificate) if certificate else True
    http = httpx.Client(
        base_url=base_url,
        headers={"Authorization": f"Bearer {api_key}"},
        timeout=httpx.Timeout(timeout_s, connect=10),
        trust_env=False,  # a proxy of the environment must not see the key
        verify=verify,
        transport=httpx.HTTPTransport(uds=tunnel.socket, verify=verify) if tunnel else None,
    )
    return GatewayClient(http, tunnel)
