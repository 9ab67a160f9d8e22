"""What clients meet: the app, the gateway, keys and certificates."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import IPv4Address

from planning.gateway.keys import clients_of
from planning.hosts.names import PROJECT
from planning.rules.draft import Draft
from planning.settings.config_commands import rm_line, set_secret_line, set_value_line
from planning.settings.errors import ConfigError
from planning.settings.gateway import TlsFiles, is_pem

DOCKERS_OWN = ("bridge", "host", "none")
CALLS_A_QUESTION = 3  # to the model, at most: choose sections, read, read the best passage again


def application_errors(draft: Draft) -> Iterator[ConfigError]:
    upload_mib, body_mib = draft.settings.pageindex.max_upload_mib, draft.settings.gateway.max_body_mib
    if upload_mib > body_mib:
        yield ConfigError(
            "pageindex.max_upload_mib",
            f"larger than what the gateway lets through, gateway.max_body_mib ({body_mib})",
            draft.set_line("pageindex.max_upload_mib", body_mib),
            str(upload_mib),
        )
    model_s, silence_s = draft.settings.pageindex.model_timeout_s, draft.settings.gateway.timeout_s
    if CALLS_A_QUESTION * model_s > silence_s:
        yield ConfigError(
            "pageindex.model_timeout_s",
            f"a question makes up to {CALLS_A_QUESTION} calls, and the gateway waits {silence_s} s for its answer "
            "(gateway.timeout_s)",
            draft.set_line("gateway.timeout_s", CALLS_A_QUESTION * model_s),
            str(model_s),
        )


def token_errors(draft: Draft) -> Iterator[ConfigError]:
    if draft.secrets and draft.model and draft.model.gated and not draft.secrets.hf_token:
        yield ConfigError(
            "hf_token",
            f"{draft.model.repo} is gated on the hub and needs a token",
            set_secret_line(["hf_token"], draft.stack),
        )


def secret_errors(draft: Draft) -> Iterator[ConfigError]:
    if draft.secrets is None:
        return
    gateway, names = draft.settings.gateway, list(draft.secrets.api_keys)
    for client in sorted(set(gateway.clients) - set(clients_of(names))):
        yield ConfigError(
            f"api_keys.{client}",
            f"gateway.clients names {client}, but there is no key for it",
            set_secret_line(["api_keys", client], draft.stack),
        )
    for name in sorted(set(gateway.key_expires) - set(names)):
        yield ConfigError(
            f"gateway.key_expires.{name}",
            "there is no key of this name under api_keys",
            rm_line(["gateway", "key_expires", name], draft.stack),
        )
    if isinstance(gateway.tls, TlsFiles) and not gateway.tls.key and not draft.secrets.tls_key:
        yield ConfigError(
            "tls_key",
            "gateway.tls names a certificate, but there is no key for it",
            set_secret_line(["tls_key"], draft.stack),
        )


def gateway_errors(draft: Draft) -> Iterator[ConfigError]:
    gateway = draft.settings.gateway
    for at, network in enumerate(gateway.networks):
        ours = re.fullmatch(rf"{PROJECT}-.*-(?:internal|edge|egress)", network)
        if ours or network in DOCKERS_OWN:
            reason = (
                "is a network of a stack of this project" if ours else "is Docker's own, on which nobody has a name"
            )
            yield ConfigError(
                "gateway.networks",
                reason,
                rm_line(["gateway", "networks", str(at)], draft.stack),
                network,
            )
    if not IPv4Address(gateway.bind).is_loopback and gateway.tls is None:
        yield ConfigError(
            "gateway.tls",
            f"on {gateway.bind} keys and documents would cross the network in clear; turn it on, or say `off` outright",
            set_value_line(["gateway", "tls"], "self-signed", draft.stack),
        )
    for field in ("certificate", "key") if isinstance(gateway.tls, TlsFiles) else ():
        path = getattr(gateway.tls, field)
        if path and not is_pem(path):
            yield ConfigError(
                f"gateway.tls.{field}",
                "must be a file in PEM format that can be read",
                set_value_line(["gateway", "tls"], "self-signed", draft.stack),
                path,
            )
    if gateway.bind == "0.0.0.0" and not gateway.server_names:
        yield ConfigError(
            "gateway.server_names",
            "on all addresses the gateway has to know by which names clients call it",
            set_value_line(["gateway", "server_names", "0"], "ai.example.com", draft.stack),
        )
