"""What the gateway is told, secrets aside: a validated model, and where its container finds and keeps things."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from planning.hosts.names import FILES_PATH
from planning.settings.gateway import ClientName, ClientSettings, Day, KeyName, ModelName, UrlPath
from planning.settings.model import Task

API_PORT = 8080
APP_PORT = 8081
STATUS_PORT = 8082  # listens on the container's loopback only
INNER_PORT = 8083  # the replicas, for the app; not published

METRICS_PORT = 9145  # of a container beside nginx, on the internal network
METRICS_DIR = "/run/pageindex-metrics"  # where nginx writes a line a request for it, in memory
METRICS_SCRIPT = "metrics.py"
METRICS_MIB = 16

NGINX_CONF = "nginx.conf"
CLIENT_KEYS_CONF = "gateway-clients.conf"  # secret
UPSTREAM_KEY_CONF = "gateway-upstream.conf"  # secret
TLS_CERTIFICATE, TLS_KEY = "tls.crt", "tls.key"  # the latter secret; unused without TLS

# The image's own entrypoint edits files under /etc/nginx, which is read-only here and not used.
START = ("sh", f"{FILES_PATH}/start.sh")  # lays out the state that a new volume has not, then becomes nginx
USER = "101:0"
HEALTH_COMMAND = ("curl", "-fsS", "-o", "/dev/null", f"http://127.0.0.1:{STATUS_PORT}/health")
STOP_SIGNAL = "SIGQUIT"  # finish what runs; SIGTERM would cut streams

_TALK = ("/v1/chat/completions", "/v1/completions", "/v1/responses")
# What a task is asked for. Nothing else of vLLM's is ever reached.
ROUTES: Mapping[Task, tuple[str, ...]] = {
    "chat": _TALK,
    "vision": _TALK,
    "embedding": ("/v1/embeddings",),
    "rerank": ("/v1/rerank", "/v1/score"),
}
# What every model answers, where a stack turns it on.
TOKENIZER_ROUTES = ("/tokenize", "/detokenize")
RoutePath = Annotated[str, StringConstraints(pattern=r"^(?:/[A-Za-z0-9_-][A-Za-z0-9_.-]*)+$")]
Upstream = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*:[1-9][0-9]{0,4}$")]
ServerName = Annotated[
    str, StringConstraints(pattern=r"^(?:[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])$")
]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RoutedModel(_Model):
    """One model behind the gateway, and all the names that requests may call it by, its own first."""

    name: ModelName | Literal[""] = ""
    """Empty where it is the only one."""
    names: tuple[str, ...] = Field(min_length=1)
    repo: str
    max_model_len: int
    task: Task = "chat"
    replicas: tuple[Upstream, ...] = Field(default=(), description="host:port until a rollout says otherwise.")

    @property
    def label(self) -> str:
        """What nginx's maps call it."""
        return self.name or "only"


class GatewayConfig(_Model):
    """Everything about the gateway that isn't secret. Clients not named in ``clients`` have ``default_limits``."""

    vllm_replicas: tuple[Upstream, ...] = Field(
        default=(), description="host:port until a rollout says otherwise; need not resolve yet."
    )
    models: tuple[RoutedModel, ...] = Field(
        default=(), description="What is served. With several, each of a name, a request's `model` decides."
    )
    app: Upstream | None = Field(default=None, description="host:port of the app; without one its port stays shut.")
    server_names: tuple[ServerName, ...] = Field(default=("localhost", "127.0.0.1"), min_length=1)
    default_limits: ClientSettings = ClientSettings()
    clients: Mapping[ClientName, ClientSettings] = Field(default_factory=dict)
    key_expires: Mapping[KeyName, Day] = Field(default_factory=dict, description="Last day of one key, in UTC.")
    cors_origins: tuple[str, ...] = Field(default=(), description="Whose scripts may call, as browsers name origins.")
    tls: bool = Field(default=False, description="Whether both published ports speak HTTPS.")
    affinity: bool = Field(default=True, description="Whether X-Session-Id decides on the replica.")
    get_paths: tuple[RoutePath, ...] = ("/v1/models",)
    post_paths: tuple[RoutePath, ...] = ROUTES["chat"]
    public_app_paths: tuple[UrlPath, ...] = Field(
        default=("/", "/static/", "/health", "/ready"),
        description="No key needed: the page, and whether the app is well. One that ends in / stands for all below it.",
    )
    app_paths: tuple[RoutePath, ...] = Field(
        default=("/api", "/v1", "/mcp", "/metrics"), description="Each with everything below it."
    )
    app_stream_paths: tuple[RoutePath, ...] = Field(
        default=("/api/events", "/mcp"), description="Streams that may stay silent until the app's next sign of life."
    )
    max_body_mib: int = Field(default=50, ge=1, le=4096)
    timeout_s: int = Field(default=300, ge=1, le=86400, description="Longest silence of a server behind.")
    header_timeout_s: int = Field(default=10, ge=1, le=300, description="For a client's whole header.")
    body_timeout_s: int = Field(default=15, ge=1, le=300, description="Longest silence within a client's body.")
    shutdown_s: int = Field(default=30, ge=1, le=3600, description="Time for running streams when it is stopped.")
    drain_s: int = Field(default=1800, ge=1, le=86400, description="Time for running streams after a reload.")
    retry_after_s: int = Field(default=5, ge=1, le=3600, description="What a 503 tells the client to wait.")
    workers: int | None = Field(default=None, ge=1, le=512, description="nginx processes; default: one a core.")
    resolver: str = Field(default="127.0.0.11", pattern=r"^[0-9.]+(:[0-9]+)?$", description="Docker's own DNS.")

    @model_validator(mode="after")
    def _rules_across_fields(self) -> Self:
        for field, paths in (
            ("get_paths and post_paths", (*self.get_paths, *self.post_paths)),
            ("public_app_paths and app_paths", (*self.public_app_paths, *self.app_paths)),
        ):
            if twice := sorted({path for path in paths if paths.count(path) > 1}):
                raise ValueError(f"{field}: {', '.join(twice)} is listed twice")
        if self.default_limits.allowed_paths:
            raise ValueError("default_limits.allowed_paths: name the clients that are restricted, one by one")
        if "/health" in (*self.get_paths, *self.post_paths):
            raise ValueError("get_paths, post_paths: /health is the gateway's own")
        return self

    @property
    def routed(self) -> bool:
        """Whether a request's body says who answers it; `vllm_replicas` are nobody's then."""
        return any(model.name for model in self.models)

    @property
    def stop_timeout_s(self) -> int:
        """Docker's patience has to outlast nginx's own."""
        return self.shutdown_s + 5

    @property
    def tmpfs_mib(self) -> int:
        """Bodies wait on /tmp until they are complete: ten of the largest at once, and some room."""
        return 10 * self.max_body_mib + 16
