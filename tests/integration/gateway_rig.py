"""One gateway container, hardened as deployed, and backends to put behind it. Docker is found through DOCKER_HOST."""

from __future__ import annotations

import io
import json
import secrets
import socket
import subprocess
import tarfile
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from host_access.certificates import pinned
from planning.gateway import config as gw
from planning.gateway import keys as gateway_keys
from planning.gateway.nginx_conf import gateway_files, script
from planning.gateway.replicas import STATE_DIR
from planning.hosts.images import image_names
from planning.hosts.names import FILES_PATH
from planning.settings.gateway import ClientSettings
from tests.polling import until

BACKEND_SOURCE = Path(__file__).with_name("gateway_backend.py").read_text(encoding="utf-8")

ALICE, ALICE_NEXT = "Alice-" + "a" * 38, "Alice_" + "Z" * 194  # the second is as long as a key may be
KEYS = {
    "alice": ALICE,
    "alice@next": ALICE_NEXT,
    "sixty": "k6" * 16,
    "narrow": "narrow" * 8,
    "models-only": "Mo" * 20,
    "gone": "Gone-" * 8,
    "gone@next": "Next-" * 8,
    "last-year": "Last" * 10,
    **{word: f"{word}-{'W' * 40}" for word in ("default", "hostnames", "include", "volatile")},  # nginx' own in a map
    **{f"colleague-{number}": f"{number}-".ljust(gateway_keys.MAX_KEY_CHARS, "C") for number in range(500)},
}
UPSTREAM_KEY = "Upstream" * 25
CONFIG = gw.GatewayConfig(
    vllm_replicas=("vllm-0:8000",),
    models=(gw.RoutedModel(names=("default", "Org/Only-1B"), repo="Org/Only-1B", max_model_len=2048),),
    app="pageindex:3000",
    server_names=("localhost", "127.0.0.1", "ai.example.com", "[::1]"),
    default_limits=ClientSettings(requests_per_minute=1_000_000, parallel_requests=500),
    clients={
        "sixty": ClientSettings(requests_per_minute=6),
        "volatile": ClientSettings(requests_per_minute=1),
        "narrow": ClientSettings(requests_per_minute=1_000_000, parallel_requests=2),
        "models-only": ClientSettings(allowed_paths=["/v1/models", "/api/documents"]),
        "last-year": ClientSettings(expires=str(date.today() - timedelta(days=1))),
    },
    key_expires={"gone": date.today() - timedelta(days=1), "gone@next": date.today() + timedelta(days=1)},
    max_body_mib=1,
    timeout_s=6,
    header_timeout_s=2,
    body_timeout_s=2,
    workers=2,
)


def docker(*arguments: str, stdin: bytes | None = None) -> str:
    done = subprocess.run(["docker", *arguments], input=stdin, capture_output=True, check=False)
    assert done.returncode == 0, f"docker {' '.join(arguments[:3])}: {done.stderr.decode()}"
    return done.stdout.decode().strip()


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes
    all_headers: Sequence[tuple[str, str]] = ()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def parse(raw: bytes) -> Answer:
    """The first final response in ``raw``; status 0 when the server just hung up."""
    head, _, body = raw.partition(b"\r\n\r\n")
    if not head:
        return Answer(0, {}, b"")
    first, *lines = head.decode("latin-1").split("\r\n")
    if first.startswith("HTTP/1.1 100"):
        return parse(body)
    all_headers = [(name.lower(), value) for name, value in (line.split(": ", 1) for line in lines)]
    headers = dict(all_headers)
    if headers.get("transfer-encoding") == "chunked":
        data, rest = b"", body
        while (size := int(rest.partition(b"\r\n")[0] or b"0", 16)) > 0:
            rest = rest.partition(b"\r\n")[2]
            data, rest = data + rest[:size], rest[size + 2 :]
        body = data
    return Answer(int(first.split()[1]), headers, body, all_headers)


@dataclass
class Backend:
    container: str
    address: str

    @property
    def container_id(self) -> str:
        """As the container itself sees it: its host name."""
        return docker("inspect", "-f", "{{.Config.Hostname}}", self.container)

    def control(self, path: str, method: str = "GET") -> Any:
        request = urllib.request.Request(f"http://{self.address}:9000{path}", method=method)
        with urllib.request.urlopen(request, timeout=5) as reply:
            return json.load(reply)

    def answers_anywhere(self) -> bool:
        """Whether it answers at the address that it has now: a container that is started again may get another."""
        self.address = docker(
            "inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", self.container
        )
        return self.answers()

    def answers(self) -> bool:
        try:
            self.control("/seen")
        except OSError:
            return False
        return True


@dataclass
class Gateway:
    """The container under test. ``name`` prefixes everything it made, and ``down`` removes it all."""

    name: str
    config: gw.GatewayConfig = CONFIG
    ports: dict[int, int] = field(default_factory=dict)
    backends: list[Backend] = field(default_factory=list)
    certificate: str = ""
    key: str = ""

    def up(self) -> None:
        image = image_names()["nginx"]
        docker("network", "create", f"{self.name}-net")
        docker("volume", "create", f"{self.name}-conf")
        volume = f"{self.name}-conf:{FILES_PATH}"
        in_memory = ["-o", "type=tmpfs", "-o", "device=tmpfs", "-o", f"o=size={gw.METRICS_MIB}m,mode=1777"]
        docker("volume", "create", *in_memory, f"{self.name}-lines")
        docker("create", "--name", f"{self.name}-files", "-v", volume, image)
        self.deliver(self.files(KEYS))
        docker(
            "run", "-d", "--name", f"{self.name}-gateway", "--network", f"{self.name}-net",
            "--user", gw.USER, "--read-only", "--tmpfs", f"/tmp:size={self.config.tmpfs_mib}m,noexec,nosuid,nodev",
            "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--pids-limit", "64",
            "--stop-signal", gw.STOP_SIGNAL, "-v", f"{volume}:ro",
            "-v", f"{self.name}-state:{STATE_DIR}", "-v", f"{self.name}-lines:{gw.METRICS_DIR}",
            "--entrypoint", gw.START[0],
            "--health-cmd", " ".join(gw.HEALTH_COMMAND), "--health-interval", "1s",
            "-p", f"127.0.0.1::{gw.API_PORT}", "-p", f"127.0.0.1::{gw.APP_PORT}", image, *gw.START[1:],
        )  # fmt: skip
        for port in (gw.API_PORT, gw.APP_PORT):
            self.ports[port] = int(docker("port", f"{self.name}-gateway", str(port)).rpartition(":")[2])
        until(self.answers, "the gateway answers", 10)

    def answers(self) -> bool:
        try:
            return self.get("/health").status == 200
        except OSError:
            return False

    def files(self, client_keys: dict[str, str]) -> dict[str, str]:
        """What the program would deliver."""
        return {
            **gateway_files(self.config),
            gw.CLIENT_KEYS_CONF: gateway_keys.render_client_keys(client_keys),
            gw.UPSTREAM_KEY_CONF: gateway_keys.render_upstream_key(UPSTREAM_KEY),
            gw.TLS_CERTIFICATE: self.certificate,
            gw.TLS_KEY: self.key,
        }

    def deliver(self, files: dict[str, str]) -> None:
        """Never-started container, volume, read-only mount: the way that the program delivers files."""
        docker("cp", "-", f"{self.name}-files:{FILES_PATH}", stdin=_tar(files))

    def add_metrics(self) -> str:
        """The container that counts; its address."""
        name = f"{self.name}-metrics"
        docker(
            "run", "-d", "--name", name, "--network", f"{self.name}-net", "--user", gw.USER, "--read-only",
            "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--memory", "96m",
            "-v", f"{self.name}-state:{STATE_DIR}:ro", "-v", f"{self.name}-lines:{gw.METRICS_DIR}",
            image_names()["python"], "python", "-c", script(gw.METRICS_SCRIPT),
        )  # fmt: skip
        address = docker("inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", name)
        return f"http://{address}:{gw.METRICS_PORT}/metrics"

    def add_backend(self, alias: str = "vllm-0") -> Backend:
        container = f"{self.name}-backend-{secrets.token_hex(3)}"
        docker(
            "run", "-d", "--name", container, "--network", f"{self.name}-net", "--network-alias", alias,
            "--network-alias", "pageindex", image_names()["python"], "python", "-c", BACKEND_SOURCE,
        )  # fmt: skip
        address = docker("inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", container)
        backend = Backend(container, address)
        self.backends.append(backend)
        until(backend.answers, "the backend answers", 15)
        return backend

    def serve(self) -> None:
        """Put a backend behind it, and wait until both ports have found it by its name."""
        self.add_backend()
        until(lambda: self.get("/v1/models", bearer(ALICE)).status == 200, "the API's backend is found", 5)
        until(lambda: self.get("/health", port=gw.APP_PORT).status == 200, "the app is found", 5)

    def down(self) -> None:
        names = [
            f"{self.name}-gateway",
            f"{self.name}-files",
            f"{self.name}-metrics",
            *(backend.container for backend in self.backends),
        ]
        subprocess.run(["docker", "rm", "-f", "-v", *names], capture_output=True, check=False)
        subprocess.run(["docker", "network", "rm", f"{self.name}-net"], capture_output=True, check=False)
        volumes = [f"{self.name}-conf", f"{self.name}-state", f"{self.name}-lines"]
        subprocess.run(["docker", "volume", "rm", *volumes], capture_output=True, check=False)

    def logs(self) -> str:
        done = subprocess.run(["docker", "logs", f"{self.name}-gateway"], capture_output=True, check=True)
        return (done.stdout + done.stderr).decode()

    def connect(self, port: int = gw.API_PORT, timeout_s: float = 15) -> socket.socket:
        plain = socket.create_connection(("127.0.0.1", self.ports[port]), timeout=timeout_s)
        return pinned(self.certificate).wrap_socket(plain) if self.certificate else plain

    def raw(self, request: bytes, port: int = gw.API_PORT) -> Answer:
        """Send bytes as they are, read until the gateway closes."""
        with self.connect(port) as connection:
            return exchange(connection, request)

    def ask(
        self, method: str, path: str, *headers: str, body: bytes = b"", host: str = "localhost", port: int = gw.API_PORT
    ) -> Answer:
        length = [f"Content-Length: {len(body)}"] if body else []
        lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", "Connection: close", *headers, *length, "", ""]
        return self.raw("\r\n".join(lines).encode("latin-1") + body, port)

    def get(self, path: str, *headers: str, port: int = gw.API_PORT) -> Answer:
        return self.ask("GET", path, *headers, port=port)

    def post(self, path: str, wish: object, *headers: str, port: int = gw.API_PORT) -> Answer:
        return self.ask("POST", path, *headers, body=json.dumps(wish).encode(), port=port)


def exchange(connection: socket.socket, request: bytes) -> Answer:
    """Send bytes as they are, read until the other side closes."""
    connection.sendall(request)
    return parse(_read_all(connection))


def bearer(key: str) -> str:
    return f"Authorization: Bearer {key}"


def _read_all(connection: socket.socket) -> bytes:
    data = b""
    try:
        while piece := connection.recv(65536):
            data += piece
    except ConnectionError:  # reset: what came before it counts
        pass
    return data


def _tar(files: dict[str, str]) -> bytes:
    """root:root 0440, as uploads write them."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(text.encode()), 0o440
            tar.addfile(entry, io.BytesIO(text.encode()))
    return out.getvalue()
