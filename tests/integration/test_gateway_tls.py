"""TLS on both published ports, with the certificate that `tls: self-signed` makes."""

from __future__ import annotations

import secrets
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from host_access.certificates import certificate_fingerprint, make_certificate, pinned
from planning.gateway import config as gw
from tests.integration.gateway_attacks import ATTACKS, GOOD, get
from tests.integration.gateway_rig import ALICE, CONFIG, Answer, Gateway, exchange

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    certificate, key = make_certificate(["localhost", "127.0.0.1"])
    config = CONFIG.model_copy(update={"tls": True})
    made = Gateway(f"gwtls-{secrets.token_hex(3)}", config, certificate=certificate, key=key)
    try:
        made.up()
        made.serve()
        yield made
    finally:
        made.down()


def in_clear(gateway: Gateway, request: bytes, port: int) -> Answer:
    with socket.create_connection(("127.0.0.1", gateway.ports[port]), timeout=10) as connection:
        return exchange(connection, request)


def test_every_hostile_request_gets_the_same_status_through_tls(gateway) -> None:
    answers = {attack.name: gateway.raw(attack.request, attack.port) for attack in ATTACKS}
    got = {name: answer.status for name, answer in answers.items()}
    assert not {attack.name: got[attack.name] for attack in ATTACKS if got[attack.name] != attack.status}
    assert all(answer.json["error"]["code"] for answer in answers.values() if answer.status != 200)


@pytest.mark.parametrize("port", [gw.API_PORT, gw.APP_PORT])
def test_http_is_led_to_https_unless_a_key_came_with_it(gateway, port) -> None:
    moved = in_clear(gateway, get("/health?x=1", host="localhost:8000"), port)
    assert (moved.status, moved.headers["location"]) == (308, "https://localhost:8000/health?x=1")
    for header in (GOOD, f"x-api-key: {ALICE}", "Authorization: Basic eA=="):
        refused = in_clear(gateway, get("/v1/models", header), port)
        assert (refused.status, refused.json["error"]["code"]) == (400, "https_required")
        assert "location" not in refused.headers
    assert in_clear(gateway, get("/health", host="evil"), port).status == 421


@pytest.mark.parametrize(("version", "taken"), [
    (ssl.TLSVersion.TLSv1, False), (ssl.TLSVersion.TLSv1_1, False), (ssl.TLSVersion.TLSv1_2, True),
    (ssl.TLSVersion.TLSv1_3, True),
])  # fmt: skip
def test_only_versions_without_known_holes_are_spoken(gateway, version, taken) -> None:
    context = pinned(gateway.certificate)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    with socket.create_connection(("127.0.0.1", gateway.ports[gw.API_PORT]), timeout=10) as plain:
        if taken:
            with context.wrap_socket(plain) as connection:
                cipher = connection.cipher()
            assert cipher is not None
            assert "GCM" in cipher[0] or "CHACHA20" in cipher[0]
        else:
            with pytest.raises(ssl.SSLError):
                context.wrap_socket(plain)


def test_another_certificate_is_not_trusted_and_the_fingerprint_is_what_openssl_says(gateway, tmp_path: Path) -> None:
    other, _ = make_certificate(["localhost", "127.0.0.1"])
    with (
        socket.create_connection(("127.0.0.1", gateway.ports[gw.API_PORT]), timeout=10) as plain,
        pytest.raises(ssl.SSLCertVerificationError),
    ):
        pinned(other).wrap_socket(plain)
    file = tmp_path / "gateway.pem"
    file.write_text(gateway.certificate)
    told = subprocess.run(["openssl", "x509", "-in", str(file), "-noout", "-fingerprint", "-sha256"],
                          capture_output=True, text=True, check=True)  # fmt: skip
    assert told.stdout.strip().split("=")[1] == certificate_fingerprint(gateway.certificate)


def test_curl_trusts_it_by_name_and_address_once_it_has_the_file(gateway, tmp_path: Path) -> None:
    file = tmp_path / "gateway.pem"
    file.write_text(gateway.certificate)
    for name in ("localhost", "127.0.0.1"):
        address = f"https://{name}:{gateway.ports[gw.API_PORT]}/health"
        asked = ["curl", "--silent", "--fail", "--cacert", str(file), "--noproxy", "*", address]
        subprocess.run(asked, check=True, capture_output=True)
