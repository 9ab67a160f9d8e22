"""Who reads scanned pages for the app: any server on its network, or another stack of this project on the same host."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from planning.gateway.config import API_PORT
from planning.hosts.names import gateway_container, internal_network, prefix_of
from planning.settings.areas import OcrSettings, StackSecrets
from planning.settings.config_commands import rm_line, set_secret_line, set_value_line
from planning.settings.errors import ConfigError

STACK_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class OcrServer:
    """``network`` is the isolated network of the other stack, which the app joins; None: the server is on the app's."""

    base_url: str
    model: str
    stack: str | None = None

    @property
    def network(self) -> str | None:
        return internal_network(prefix_of(self.stack)) if self.stack else None


def ocr_server(ocr: OcrSettings) -> OcrServer:
    """Where pictures of pages are sent. Another stack is asked through its gateway, as any client of it would."""
    if ocr.stack is None:
        return OcrServer(ocr.base_url or "", ocr.model)
    return OcrServer(f"http://{gateway_container(prefix_of(ocr.stack))}:{API_PORT}/v1", ocr.model, ocr.stack)


def scan_errors(stack: str, ocr: OcrSettings | None, secrets: StackSecrets | None) -> Iterator[ConfigError]:
    """Exactly one server, not this stack itself, and the key that another stack's gateway wants."""
    area = ["pageindex", "ocr"]
    if ocr is None:
        if secrets and secrets.ocr_key:
            yield ConfigError("ocr_key", "there is no pageindex.ocr to use it for", rm_line(["ocr_key"], stack))
        return
    if ocr.stack is None and ocr.base_url is None:
        reason = "says neither which stack reads the pages nor the address of another server"
        yield ConfigError("pageindex.ocr", reason, set_value_line([*area, "base_url"], "http://ocr:8000/v1", stack))
    if ocr.stack is not None and ocr.base_url is not None:
        reason = "pageindex.ocr.stack already says who is asked"
        yield ConfigError("pageindex.ocr.base_url", reason, rm_line([*area, "base_url"], stack), ocr.base_url)
    if ocr.stack is not None and (ocr.stack == stack or not STACK_NAME.fullmatch(ocr.stack)):
        reason = "is this stack itself" if ocr.stack == stack else "is no name of a stack"
        yield ConfigError("pageindex.ocr.stack", reason, rm_line(area, stack), ocr.stack)
    elif ocr.stack is not None and secrets and not secrets.ocr_key:
        yield ConfigError(
            "ocr_key",
            f"the gateway of stack {ocr.stack} wants the key of one of its clients",
            f"pulumi stack output -s {ocr.stack} api_key --show-secrets | {set_secret_line(['ocr_key'], stack)}",
        )
