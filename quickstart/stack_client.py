"""HTTP to a deployed stack, as whoever deployed it has it: over ssh where its host is remote, with its certificate."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import yaml

from checks.tunnel import Tunnel
from planning.certificate import pinned
from planning.problems import NAMESPACE
from planning.settings import HostSettings
from planning.ssh import SshHost


def host_in(stack_file: Path) -> HostSettings:
    """The host that a stack file names, whatever else is in it."""
    config = (yaml.safe_load(stack_file.read_text(encoding="utf-8")) or {}).get("config") or {}
    return HostSettings.model_validate(config.get(f"{NAMESPACE}:host") or {})


def client_of(outputs: Mapping[str, Any], host: HostSettings, url: str, timeout_s: float) -> httpx.Client:
    """A client with the first client's key for ``outputs[url]``. The gateway is on the host's loopback alone."""
    base_url, remote = outputs[url].removesuffix("/v1"), SshHost.of(host)
    certificate = outputs.get("tls_certificate")
    verify = pinned(certificate) if certificate else True
    there = urlsplit(base_url)
    tunnel = Tunnel(remote, there.hostname or "127.0.0.1", there.port or 80) if remote else None
    return httpx.Client(
        base_url=base_url,
        headers={"Authorization": f"Bearer {outputs['api_key']}"},
        timeout=timeout_s,
        trust_env=False,  # a proxy of the environment must not see the key
        verify=verify,
        transport=httpx.HTTPTransport(uds=tunnel.socket, verify=verify) if tunnel else None,
    )
