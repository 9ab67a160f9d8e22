"""Who is compared by `make bench-gateway`: how each is configured and started, on loopback, before one backend."""

from __future__ import annotations

import http.client
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from machine.console import StepFailed
from machine.paths import cache
from planning.gateway import config as gw
from planning.gateway.keys import render_client_keys, render_upstream_key
from planning.gateway.nginx_conf import gateway_files, render_nginx_conf, script
from planning.gateway.replicas import STATE_DIR
from planning.hosts.images import resolve_image
from planning.hosts.names import FILES_PATH
from planning.services.service import LogLimits
from planning.settings.gateway import ClientSettings
from quickstart.environment import environment

ROUTERS = ("vllm-router==0.1.17", "litellm[proxy]==1.105.3")
VENV = cache() / "bench-gateway"
BACKEND_PORT, STREAM_PORT = 18600, 18601
OURS_PORT, DOCUMENTED_PORT, VLLM_ROUTER_PORT, LITELLM_PORT, BARE_PORT = 18610, 18620, 18630, 18640, 18650
ROUTED_PORT = 18660
MODEL = "default"
KEY = "bench-" + "k" * 58
BACKEND_KEY = "backend-" + "k" * 56
START_S = 400  # litellm imports for a minute on a busy machine

# What vLLM's guide gives (docs/deployment/nginx.md), for one server; the rest is the image's own nginx.conf.
DOCUMENTED = """
upstream backend {
    least_conn;
    server 127.0.0.1:%d max_fails=3 fail_timeout=10000s;
}
server {
    listen %d;
    location / {
        proxy_pass http://backend;
        proxy_set_header Host $host;
        proxy_set_header X-Real-IP $remote_addr;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header X-Forwarded-Proto $scheme;
    }
}
"""
# The least that a proxy does, as a floor under what the others add: connections are kept, and nothing else.
BARE = """
    upstream backend { zone backend 64k; server 127.0.0.1:%d; keepalive 128; keepalive_requests 1000000; }
    server {
        listen 127.0.0.1:%d reuseport backlog=4096;
        location / { proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection "";
                     proxy_buffering off; }
    }
"""
DEFAULT_NGINX_CONF = """
daemon off;
worker_processes auto;
error_log stderr notice;
pid /tmp/nginx.pid;
events { worker_connections 1024; }
http {
    default_type application/octet-stream;
    log_format main '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" '
                    '"$http_user_agent" "$http_x_forwarded_for"';
    access_log /dev/stdout main;
    sendfile on;
    keepalive_timeout 65;
%s
}
"""
QUIET_NGINX_CONF = """
daemon off;
worker_processes auto;
error_log stderr crit;
pid /tmp/nginx.pid;
events { worker_connections 4096; }
http {
    access_log off;
    keepalive_requests 100000000;
    client_body_buffer_size 1m;  # no body touches a disk
%s
}
"""
BACKEND = """
    default_type application/json;
    upstream stream { server 127.0.0.1:%d; keepalive 64; }
    server {
        listen 127.0.0.1:%d reuseport backlog=4096;
        location / { return 200 '%s'; }
        location = /v1/models { return 200 '{"object":"list","data":[{"id":"default","object":"model"}]}'; }
        location = /v1/completions { proxy_pass http://stream; proxy_buffering off; proxy_http_version 1.1;
                                     proxy_set_header Connection ""; }
    }
"""
ANSWER = (
    '{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"default","choices":[{"index":0,"message":'
    '{"role":"assistant","content":"The capital of France is Paris."},"finish_reason":"stop"}],'
    '"usage":{"prompt_tokens":14,"completion_tokens":8,"total_tokens":22}}'
)
LITELLM = """
model_list:
  - model_name: {model}
    litellm_params: {{model: openai/{model}, api_base: "http://127.0.0.1:{port}/v1", api_key: {key}}}
general_settings: {{master_key: {client_key}}}
litellm_settings: {{telemetry: false}}
"""


@dataclass(frozen=True)
class Contestant:
    """Somebody to send requests to."""

    name: str
    port: int
    about: str
    headers: dict[str, str] = field(default_factory=dict)

    def alive(self) -> bool:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=3)
            connection.request("GET", "/v1/models", headers=self.headers)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False


CONTESTANTS = (
    Contestant("direct", BACKEND_PORT, "the backend itself", {"Authorization": f"Bearer {BACKEND_KEY}"}),
    Contestant("this gateway", OURS_PORT, "as deployed: 20 keys, limits, log, metrics, sessions",
               {"Authorization": f"Bearer {KEY}"}),
    Contestant("this gateway, routed", ROUTED_PORT, "the same with three models: the body's `model` decides",
               {"Authorization": f"Bearer {KEY}"}),
    Contestant("bare nginx", BARE_PORT, "kept connections and nothing else: no key, no limit, no log; the floor"),
    Contestant("documented nginx", DOCUMENTED_PORT, "the configuration of vLLM's guide, without keys"),
    Contestant("vllm-router", VLLM_ROUTER_PORT, f"{ROUTERS[0]}, policy round_robin, without keys"),
    Contestant("litellm", LITELLM_PORT, f"{ROUTERS[1].replace('[proxy]', '')}, one worker, one key",
               {"Authorization": f"Bearer {KEY}"}),
)  # fmt: skip


LIMITS = {"bench": ClientSettings(requests_per_minute=60_000_000, parallel_requests=1000)}
BACKEND_ADDRESS = f"127.0.0.1:{BACKEND_PORT}"
ONE_MODEL = gw.GatewayConfig(vllm_replicas=(BACKEND_ADDRESS,), clients=LIMITS)
SEVERAL_MODELS = gw.GatewayConfig(
    models=tuple(
        gw.RoutedModel(name=name, names=(name, *more), repo=f"bench/{name}", max_model_len=8192,
                       replicas=(BACKEND_ADDRESS,))
        for name, *more in (("small",), ("large", MODEL), ("pictures",))
    ),
    clients=LIMITS,
)  # fmt: skip


def ours(config: gw.GatewayConfig, port: int) -> dict[str, str]:
    """The gateway's files as they are deployed, on ports that nobody has and without the app."""
    clients = {f"client-{number}": f"key-{number:02}-" + "x" * 57 for number in range(19)} | {"bench": KEY}
    conf = render_nginx_conf(config)
    for inside, outside in ((gw.API_PORT, port), (gw.STATUS_PORT, port + 2), (gw.INNER_PORT, port + 3)):
        conf = conf.replace(str(inside), str(outside))
    return {
        **gateway_files(config),
        gw.NGINX_CONF: conf,
        gw.CLIENT_KEYS_CONF: render_client_keys(clients),
        gw.UPSTREAM_KEY_CONF: render_upstream_key(BACKEND_KEY),
    }


@contextmanager
def running() -> Iterator[None]:
    """All of them at once; what is not asked costs nothing."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-gateway-")))
        backend = QUIET_NGINX_CONF % (BACKEND % (STREAM_PORT, BACKEND_PORT, ANSWER))
        bare = QUIET_NGINX_CONF % (BARE % (BACKEND_PORT, BARE_PORT))
        documented = DEFAULT_NGINX_CONF % (DOCUMENTED % (BACKEND_PORT, DOCUMENTED_PORT))
        (folder / "litellm.yaml").write_text(
            LITELLM.format(model=MODEL, port=BACKEND_PORT, key=BACKEND_KEY, client_key=KEY)
        )
        stack.enter_context(_process([sys.executable, str(Path(__file__).with_name("gateway_backend.py")),
                                      str(STREAM_PORT)], folder / "stream.log"))  # fmt: skip
        stack.enter_context(_nginx({"nginx.conf": backend}, ["nginx", "-e", "stderr", "-c"]))
        stack.enter_context(_gateway(ours(ONE_MODEL, OURS_PORT)))
        stack.enter_context(_gateway(ours(SEVERAL_MODELS, ROUTED_PORT)))
        stack.enter_context(_nginx({"nginx.conf": documented}, ["nginx", "-e", "stderr", "-c"]))
        stack.enter_context(_nginx({"nginx.conf": bare}, ["nginx", "-e", "stderr", "-c"]))
        router = [str(VENV / "bin/vllm-router"), "--host", "127.0.0.1", "--port", str(VLLM_ROUTER_PORT),
                  "--worker-urls", f"http://127.0.0.1:{BACKEND_PORT}", "--policy", "round_robin",
                  "--prometheus-port", str(VLLM_ROUTER_PORT + 1), "--log-level", "warning"]  # fmt: skip
        stack.enter_context(_process(router, folder / "vllm-router.log"))
        litellm = [str(VENV / "bin/litellm"), "--config", str(folder / "litellm.yaml"), "--host", "127.0.0.1",
                   "--port", str(LITELLM_PORT), "--num_workers", "1"]  # fmt: skip
        stack.enter_context(_process(litellm, folder / "litellm.log"))
        for contestant in CONTESTANTS:
            _await(contestant, folder)
        yield


def _await(contestant: Contestant, folder: Path) -> None:
    deadline = time.monotonic() + START_S
    while not contestant.alive():
        if time.monotonic() > deadline:
            log = folder / f"{contestant.name}.log"
            tail = log.read_text(errors="replace").splitlines()[-15:] if log.exists() else []
            raise StepFailed(f"{contestant.name} does not answer after {START_S} s", "look at its words below", tail)
        time.sleep(0.2)


@contextmanager
def _process(command: list[str], log: Path) -> Iterator[None]:
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=environment())
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()


@contextmanager
def _gateway(files: dict[str, str]) -> Iterator[None]:
    """As deployed, with the container beside it that counts its requests."""
    in_memory = ("--opt", "type=tmpfs", "--opt", "device=tmpfs", "--opt", f"o=size={gw.METRICS_MIB}m,mode=1777")
    with _named("bench-gateway-metrics", *in_memory) as name, _nginx(files, None, lines_volume=name):
        _docker("create", "--name", name, "--user", gw.USER, "--cap-drop", "ALL", "-v", f"{name}:{gw.METRICS_DIR}",
                "--entrypoint", "python", resolve_image("python"), f"/{gw.METRICS_SCRIPT}")  # fmt: skip
        _start(name, {gw.METRICS_SCRIPT: script(gw.METRICS_SCRIPT)}, "/")
        yield


@contextmanager
def _nginx(files: dict[str, str], command: list[str] | None, lines_volume: str | None = None) -> Iterator[None]:
    """A container on the host's network, with the log settings of every container of the stack."""
    start = [*command, f"{FILES_PATH}/nginx.conf"] if command else list(gw.START)
    logs = LogLimits()
    limits = ("--log-opt", f"max-size={logs.max_mib}m", "--log-opt", f"max-file={logs.max_files}")
    writable = (STATE_DIR, "/tmp", "/var/cache/nginx")  # noqa: S108 (of the container)
    mounts = [part for path in writable for part in ("--tmpfs", f"{path}:mode=1777")]
    mounts += ["-v", f"{lines_volume}:{gw.METRICS_DIR}"] if lines_volume else []
    with _named("bench-gateway") as name:
        _docker("create", "--name", name, "--network", "host", "--user", gw.USER, "--read-only", "--cap-drop", "ALL",
                "--log-driver", "json-file", *limits, *mounts, "-v", f"{name}:{FILES_PATH}",
                "--entrypoint", start[0], resolve_image("nginx"), *start[1:])  # fmt: skip
        _start(name, files, FILES_PATH)
        yield


@contextmanager
def _named(prefix: str, *volume_options: str) -> Iterator[str]:
    """A name for a container and a volume: the volume is there, and neither is afterwards."""
    name = f"{prefix}-{secrets.token_hex(3)}"
    try:
        _docker("volume", "create", *volume_options, name)
        yield name
    finally:
        for remove in (("rm", "-f", name), ("volume", "rm", name)):
            subprocess.run(["docker", *remove], env=environment(), capture_output=True, check=False)


def _start(name: str, files: dict[str, str], inside: str) -> None:
    """Start a created container, with these files in one of its folders."""
    with tempfile.TemporaryDirectory() as folder:
        for file, text in files.items():
            Path(folder, file).write_text(text)
        _docker("cp", f"{folder}/.", f"{name}:{inside}")
    _docker("start", name)


def _docker(*arguments: str) -> None:
    done = subprocess.run(["docker", *arguments], env=environment(), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise StepFailed(f"docker {arguments[0]} failed", "make lab-up", done.stderr.splitlines()[-5:])
