"""What a stack file says about the gateway: TLS, clients, and keys that end."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from host_access.certificates import certificate_fingerprint, make_certificate
from planning.plan import plan_stack
from planning.settings.gateway import GatewaySettings, TlsFiles, is_pem, read_pem

KEY = "k" * 40
CPU = {"model": "smollm2-135m-instruct", "vllm": {"image": "vllm-cpu", "device": "cpu", "max_model_len": 8192}}


def gateway(**given: Any) -> GatewaySettings:
    return GatewaySettings.model_validate(given)


@pytest.mark.parametrize(("tls", "on"), [
    (None, False), ("off", False), (False, False), ("self-signed", True),
    ({"certificate": "-----BEGIN CERTIFICATE-----"}, True),
])  # fmt: skip
def test_tls_is_on_when_a_certificate_is_made_or_named(tls: Any, on: bool) -> None:
    assert gateway(tls=tls).uses_tls is on


def test_on_loopback_nothing_has_to_be_said_and_elsewhere_off_is_enough() -> None:
    plan_stack("s", CPU, {})
    plan_stack("s", {**CPU, "gateway": {"bind": "10.0.0.5", "tls": "off"}}, {})
    plan_stack("s", {**CPU, "gateway": {"bind": "10.0.0.5", "tls": "self-signed"}}, {})


def test_a_certificate_may_be_a_file_or_its_text_and_its_key_a_file_or_a_secret(tmp_path: Path) -> None:
    certificate, key = make_certificate(["localhost"])
    (tmp_path / "c.pem").write_text(certificate)
    (tmp_path / "k.pem").write_text(key)
    for named in (certificate, str(tmp_path / "c.pem")):
        assert is_pem(named)
        assert certificate_fingerprint(read_pem(named)) == certificate_fingerprint(certificate)
    files = {"certificate": str(tmp_path / "c.pem"), "key": str(tmp_path / "k.pem")}
    assert isinstance(plan_stack("s", {**CPU, "gateway": {"tls": files}}, {}).settings.gateway.tls, TlsFiles)
    plan_stack("s", {**CPU, "gateway": {"tls": {"certificate": certificate}}}, {"tls_key": key})


def test_a_day_may_come_as_yaml_reads_it() -> None:
    for day in ("2027-12-31", "2027-12-31T00:00:00Z", "2027-12-31 00:00:00 +0000 UTC", date(2027, 12, 31)):
        assert gateway(key_expires={"alice": day}).key_expires == {"alice": "2027-12-31"}


@pytest.mark.parametrize(("today", "warned"), [
    ("2027-12-16", []),
    ("2027-12-17", ["after 2027-12-31, in 15 days"]),
    ("2027-12-31", ["after 2027-12-31, in 1 days"]),
    ("2028-01-01", ["its last day was 2027-12-31"]),
])  # fmt: skip
def test_a_preview_warns_two_weeks_before_a_key_ends_and_afterwards(today: str, warned: list[str]) -> None:
    settings = gateway(key_expires={"alice@old": "2027-12-31"})
    found = settings.expiry_warnings(date.fromisoformat(today))
    assert len(found) == len(warned)
    assert all(part in text and "alice@old" in text for part, text in zip(warned, found, strict=True))


def test_a_client_with_two_keys_is_one_client() -> None:
    secrets = {"api_keys": {"alice": KEY, "alice@next": "n" * 40}}
    plan_stack("s", {**CPU, "gateway": {"clients": {"alice": {"allowed_paths": ["/v1"]}}}}, secrets)
