"""What a stack file may say about the gateway and its clients."""

from __future__ import annotations

import math
import re
from datetime import date
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, ValidationInfo, field_validator

from planning.settings.base import Port, SettingsBase

# Lower case: nginx's maps ignore case.
KEY_NAME_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,62}(@[a-z0-9][a-z0-9_-]{0,30})?$"
ClientName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
ModelName = Annotated[str, Field(pattern=r"^[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?$")]
UrlPath = Annotated[str, Field(pattern=r"^/(?:[A-Za-z0-9_-][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*/?)?$")]
ORIGIN_PATTERN = (
    r"^https?://(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:]+\])(?::[1-9][0-9]{0,4})?$"  # as browsers send it
)
KeyName = Annotated[str, Field(pattern=KEY_NAME_PATTERN)]
PEM_BEGIN = "-----BEGIN "
EXPIRES_SOON_DAYS = 14


def _day(value: Any) -> Any:
    """A date as text, or as Pulumi or PyYAML reads one that isn't quoted."""
    if isinstance(value, date):
        return value.isoformat()[:10]
    return re.sub(r"(?:T00:00:00Z| 00:00:00 \+0000 UTC)$", "", value) if isinstance(value, str) else value


def _is_a_day(value: str) -> str:
    try:
        date.fromisoformat(value)
    except ValueError:
        raise ValueError("must be a date, as 2027-01-31") from None
    return value


Day = Annotated[str, BeforeValidator(_day), Field(pattern=r"^2\d{3}-\d{2}-\d{2}$"), AfterValidator(_is_a_day)]


def seconds_between(requests_per_minute: int) -> int:
    """Whole seconds in which one request of a minute's share comes free again."""
    return math.ceil(60 / requests_per_minute)


class ClientSettings(SettingsBase):
    """What one client of the gateway may do; its key stands under api_keys with the same name."""

    requests_per_minute: int = Field(
        600, ge=1, le=60_000_000, description="Requests a minute; all at once, if need be.", examples=[600]
    )
    parallel_requests: int = Field(50, ge=1, le=65_535, description="Requests at the same time.", examples=[50])
    allowed_paths: list[UrlPath] = Field(
        default_factory=list,
        description="Paths on both ports, each with everything below it. Default: every path.",
        examples=[["/v1/chat/completions"]],
    )
    models: list[ModelName] = Field(
        default_factory=list,
        description="Names of `models` that it may use. Default: every one of this stack.",
        examples=[["chat"]],
    )
    model_requests_per_minute: dict[ModelName, Annotated[int, Field(ge=1, le=60_000_000)]] = Field(
        default_factory=dict,
        description="Requests a minute to single ones of `models`, within requests_per_minute.",
        examples=[{"chat": 20}],
    )
    expires: Day | None = Field(
        None, description="Last day, in UTC, on which the client's keys are good.", examples=["2027-12-31"]
    )

    @property
    def retry_after_s(self) -> int:
        """Seconds after which the next request passes, if the minute's share is used up."""
        return seconds_between(self.requests_per_minute)


class TlsFiles(SettingsBase):
    """A certificate of one's own."""

    certificate: str = Field(
        pattern=r"^(/|~/|-----BEGIN )",
        description="File in PEM format on the machine that runs `pulumi up`, the chain included; or its text.",
        examples=["/etc/ssl/ai.example.com.pem"],
    )
    key: str | None = Field(
        None,
        pattern=r"^(/|~/)[^\n]*$",
        description="File with its key in PEM format. Default: the secret tls_key.",
        examples=["/etc/ssl/private/ai.example.com.key"],
    )


def read_pem(given: str) -> str:
    """The text of a PEM file, or the text that was given instead of a file."""
    return given if given.startswith(PEM_BEGIN) else Path(given).expanduser().read_text(encoding="ascii")


def is_pem(given: str) -> bool:
    """Whether it is a PEM file that can be read, or the text of one."""
    try:
        return PEM_BEGIN in read_pem(given)
    except (OSError, UnicodeDecodeError):
        return False


def _switch(value: Any) -> Any:
    return "off" if value is False else value  # as YAML 1.1 reads a bare `off`


def _tls_kind(value: Any) -> str:
    return "TlsFiles" if isinstance(value, dict | TlsFiles) else "TlsWord"


Tls = Annotated[
    Annotated[Literal["off", "self-signed"], Tag("TlsWord")] | Annotated[TlsFiles, Tag("TlsFiles")],
    Discriminator(_tls_kind),
]


class GatewaySettings(SettingsBase):
    """The one service that publishes ports, and asks every client for its key."""

    bind: str = Field("127.0.0.1", description="Host address that the ports are published on.", examples=["127.0.0.1"])
    api_port: Port = Field(8000, description="Host port of the OpenAI-compatible API.", examples=[8000])
    app_port: Port = Field(3000, description="Host port of PageIndex.", examples=[3000])
    server_names: list[Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]{1,253}$")]] = Field(
        default_factory=list,
        description="Further host names that requests may carry, beside localhost and the bind address.",
        examples=[["ai.example.com"]],
    )
    tls: Annotated[Tls | None, BeforeValidator(_switch)] = Field(
        None,
        description="HTTPS on both ports: `self-signed` makes a certificate, {certificate, key} is one of your own. "
        "Default: off on a loopback address; on any other it has to be said, `off` too.",
        examples=["self-signed"],
    )
    max_body_mib: int = Field(50, ge=1, le=4096, description="Largest request body, MiB.", examples=[50])
    timeout_s: int = Field(
        300, ge=5, le=86400, description="Longest silence of a request's answer, seconds.", examples=[300]
    )
    affinity: Literal["none", "session"] = Field(
        "session",
        description="`session`: requests with the same X-Session-Id go to the same vLLM server while it is well, so "
        "that it finds their beginning in its cache. All others go where the fewest requests run.",
        examples=["session"],
    )
    tokenize: bool = Field(
        False,
        description="Opens /tokenize and /detokenize, for clients that count a text's tokens before they send it.",
        examples=[True],
    )
    networks: list[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{1,63}$")]] = Field(
        default_factory=list,
        description="Docker networks of other projects on the host that the gateway joins: their containers reach it "
        "by its name, with a key. They have to be there already.",
        examples=[["my-project_default"]],
    )
    cors_origins: list[Annotated[str, Field(pattern=ORIGIN_PATTERN)]] = Field(
        default_factory=list,
        description="Origins of web pages whose scripts may call both ports, with a key of their user. Default: none.",
        examples=[["https://notes.example.com"]],
    )
    clients: dict[ClientName, ClientSettings] = Field(
        default_factory=dict,
        description="Limits per client. A client that stands only under api_keys gets the defaults.",
        examples=[{"alice": {"requests_per_minute": 120}}],
    )
    key_expires: dict[KeyName, Day] = Field(
        default_factory=dict,
        description="Last day, in UTC, of one key: during a rotation, of the one that goes.",
        examples=[{"alice": "2027-12-31"}],
    )

    @field_validator("bind")
    @classmethod
    def _bind_is_an_address(cls, value: str) -> str:
        try:
            IPv4Address(value)
        except ValueError:
            raise ValueError("must be an IPv4 address") from None
        return value

    @field_validator("app_port")
    @classmethod
    def _ports_differ(cls, value: int, info: ValidationInfo) -> int:
        if value == info.data.get("api_port"):
            raise ValueError("must differ from api_port")
        return value

    @property
    def uses_tls(self) -> bool:
        """Whether both ports speak HTTPS."""
        return self.tls not in {None, "off"} if isinstance(self.tls, str | None) else True

    def expiry_warnings(self, today: date) -> list[str]:
        """Keys that are no longer good, or will soon be."""
        days = {f"client {name}": limits.expires for name, limits in self.clients.items() if limits.expires}
        days |= {f"key {name}": day for name, day in self.key_expires.items()}
        found = []
        for name, day in days.items():
            left = (date.fromisoformat(day) - today).days
            if left < 0:
                found.append(f"the gateway refuses {name} with 401: its last day was {day}")
            elif left <= EXPIRES_SOON_DAYS:
                found.append(f"the gateway refuses {name} with 401 after {day}, in {left + 1} days")
        return found
