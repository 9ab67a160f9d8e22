"""The model hub's HTTP server: the Hub's API and file routes, as huggingface_hub 2.4 uses them."""

from __future__ import annotations

import json
import os
import re
import socket
import struct
import threading
import time
from collections import deque
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, BinaryIO
from urllib.parse import parse_qs, quote, unquote, urlsplit

from lab.hub_faults import Fault, Faults
from lab.hub_requests import Answer, byte_range, is_true
from lab.hub_store import REPO_ID, HubFile, Snapshot, Store

CHUNK = 2**18
PAGE_ENTRIES = 1000  # of a tree listing, as on the Hub
LOG_REQUESTS = 2000
IDLE_TIMEOUT_S = 120
MAX_BODY = 2**20

API = re.compile(r"/api/models/(?P<repo>[^/]+(?:/[^/]+)??)(?:/(?P<verb>revision|tree|paths-info)/(?P<rest>.+))?")
RESOLVE = re.compile(r"/(?P<repo>[^/]+(?:/[^/]+)?)/resolve/(?P<revision>[^/]+)/(?P<path>.+)")


class HubServer(ThreadingHTTPServer):
    """Serves a store. Use as it is: ``serve_forever`` in a thread, ``stop`` to end it and whatever hangs in it."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], store: Store):
        self.store = store
        self.faults = Faults()
        self.requests: deque[dict[str, Any]] = deque(maxlen=LOG_REQUESTS)
        self.stopping = threading.Event()
        super().__init__(address, HubHandler)

    @property
    def endpoint(self) -> str:
        host, port = self.server_address[:2]
        return f"http://{host!s}:{port}"

    def stop(self) -> None:
        self.stopping.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away in the middle is its own business."""


class HubHandler(BaseHTTPRequestHandler):
    """One connection."""

    server: HubServer
    protocol_version = "HTTP/1.1"
    server_version = "pageindex-stack-lab-hub"
    timeout = IDLE_TIMEOUT_S
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._serve()

    def do_HEAD(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are kept in ``server.requests`` instead."""

    def _serve(self) -> None:
        self.sent = False
        url = urlsplit(self.path)
        try:
            length = int(self.headers.get("Content-Length") or 0)
            if length > MAX_BODY:
                self.close_connection = True
                raise Answer(413, "The request is too large")
            body = self.rfile.read(length)
            self._route(url.path, parse_qs(url.query), body)
        except Answer as answer:
            self._send_json({"error": answer.message}, answer.status, answer.headers)
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def _route(self, path: str, query: dict[str, list[str]], body: bytes) -> None:
        token = self._token()
        if path == "/health":
            return self._send_json({"status": "ok"}, quiet=True)
        if path == "/api/whoami-v2":
            if token is None:
                raise Answer(401, "Invalid username or password.")
            return self._send_json({"type": "user", "name": "lab", "auth": {"type": "access_token"}})
        if found := API.fullmatch(path):
            repo = unquote(found["repo"])
            self._fault(repo, "api", body=False)
            return self._api(repo, found["verb"], found["rest"] or "", query, body, token)
        if (found := RESOLVE.fullmatch(path)) and self.command != "POST":
            return self._resolve(unquote(found["repo"]), unquote(found["revision"]), unquote(found["path"]), token)
        raise Answer(404, "Sorry, we can't find the page you are looking for.")

    def _token(self) -> str | None:
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        if not scheme:
            return None
        if scheme.lower() != "bearer" or not self.server.store.knows_token(token):
            raise Answer(401, "Invalid credentials in Authorization header")
        return token

    def _snapshot(self, repo: str, revision: str, token: str | None) -> tuple[Snapshot, str]:
        store = self.server.store
        snapshot = store.find(repo) if REPO_ID.fullmatch(repo) else None
        if snapshot is None:
            # The Hub doesn't tell a stranger whether a private repository exists.
            status, message = (404, "Repository not found") if token else (401, "Invalid username or password.")
            raise Answer(status, message, "RepoNotFound")
        commit = store.resolve(repo, snapshot, revision)
        if commit is None:
            raise Answer(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return snapshot, commit

    def _api(
        self, repo: str, verb: str | None, rest: str, query: dict[str, list[str]], body: bytes, token: str | None
    ) -> None:
        quoted, _, folder = rest.partition("/")
        snapshot, commit = self._snapshot(repo, unquote(quoted) or "main", token)
        if verb in (None, "revision"):
            blobs = is_true(query, "blobs")
            self._send_json(self.server.store.model_info(repo, snapshot, commit, blobs))
        elif verb == "paths-info":
            self._send_json(self._paths_info(snapshot, body))
        else:
            self._send_tree(snapshot, commit, unquote(folder), query)

    def _send_tree(self, snapshot: Snapshot, commit: str, folder: str, query: dict[str, list[str]]) -> None:
        entries = self.server.store.tree(snapshot, folder, is_true(query, "recursive"))
        if entries is None:
            raise Answer(404, f"{folder} does not exist on {commit}", "EntryNotFound", {"X-Repo-Commit": commit})
        start = int(query.get("cursor", ["0"])[0])
        end = start + min(int(query.get("limit", [str(PAGE_ENTRIES)])[0]), PAGE_ENTRIES)
        headers = {"X-Repo-Commit": commit}
        if end < len(entries):
            flags = "".join(f"&{key}={quote(values[0])}" for key, values in query.items() if key != "cursor")
            page = f"{self.server.endpoint}{urlsplit(self.path).path}?cursor={end}{flags}"
            headers["Link"] = f'<{page}>; rel="next"'
        self._send_json(entries[start:end], headers=headers)

    def _paths_info(self, snapshot: Snapshot, body: bytes) -> list[dict[str, Any]]:
        try:
            wanted = json.loads(body)["paths"]
        except (ValueError, KeyError, TypeError):
            wanted = parse_qs(body.decode(errors="replace")).get("paths", [])
        return [snapshot.files[path].tree_entry() for path in wanted if path in snapshot.files]

    def _resolve(self, repo: str, revision: str, path: str, token: str | None) -> None:
        snapshot, commit = self._snapshot(repo, revision, token)
        commit_header = {"X-Repo-Commit": commit}
        allowed = self.server.store.gated.get(repo)
        if allowed is not None and token not in allowed:
            message = f"Access to model {repo} is restricted. You must have access to it and be authenticated."
            raise Answer(403 if token else 401, message, "GatedRepo", commit_header)
        file = snapshot.files.get(path)
        if file is None:
            raise Answer(404, "Entry not found", "EntryNotFound", commit_header)
        fault = self._fault(repo, path, body=self.command == "GET")
        self._send_file(file, commit, fault)

    def _fault(self, repo: str, path: str, *, body: bool) -> Fault | None:
        """Play what is due before an answer; hand back what is due while its body is sent."""
        fault = self.server.faults.take(repo, path, body=body)
        if fault is None:
            return None
        if fault.kind == "status":
            wait = {"Retry-After": str(fault.retry_after_s)} if fault.retry_after_s is not None else {}
            raise Answer(fault.status, HTTPStatus(fault.status).phrase, headers=wait)
        if fault.kind == "hang" and fault.after_bytes == 0:
            self._hang()
        return fault

    def _hang(self) -> None:
        self._record(0)
        self.server.stopping.wait()
        raise ConnectionError("hung up")

    def _send_json(
        self, content: Any, status: int = 200, headers: dict[str, str] | None = None, quiet: bool = False
    ) -> None:
        body = json.dumps(content).encode()
        if not quiet:
            self._record(status)
        self.send_response(status)
        sent = {"Content-Type": "application/json; charset=utf-8", "Content-Length": str(len(body))} | (headers or {})
        for name, value in sent.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _send_file(self, file: HubFile, commit: str, fault: Fault | None) -> None:
        start, end = byte_range(self.headers.get("Range"), file.size)
        partial = self.headers.get("Range") is not None and self.command == "GET"
        if not partial:
            start, end = 0, file.size
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Length": str(end - start),
            "Accept-Ranges": "bytes",
            "ETag": f'"{file.etag}"',
            "X-Repo-Commit": commit,
            "Content-Disposition": f'inline; filename="{file.path.rpartition("/")[2]}"',
        }
        if file.lfs:
            headers |= {"X-Linked-Etag": f'"{file.sha256}"', "X-Linked-Size": str(file.size)}
        if partial:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{file.size}"
        status = 206 if partial else 200
        self._record(status)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if isinstance(file.source, bytes):
            self._send_range(None, file.source[start:end], start, end, fault)
        else:
            with file.source.open("rb") as source:
                self._send_range(source, b"", start, end, fault)

    def _send_range(self, source: BinaryIO | None, content: bytes, start: int, end: int, fault: Fault | None) -> None:
        if fault is None and source is not None:
            # The kernel copies from the page cache: 269 MB cost no time that a test would notice.
            if self.connection.sendfile(source, start, end - start) != end - start:
                raise ConnectionError("the file became shorter")
            return
        if source is not None:
            source.seek(start)
        sent = 0
        while start < end:
            size = min(CHUNK, end - start)
            chunk = bytearray(source.read(size) if source is not None else content[sent : sent + size])
            if fault is not None:
                chunk = self._spoil(chunk, start, sent, fault)
            self.wfile.write(chunk)
            start, sent = start + size, sent + size

    def _spoil(self, chunk: bytearray, start: int, sent: int, fault: Fault) -> bytearray:
        """The chunk as the fault lets it through; ``sent`` bytes of this answer are out already."""
        if fault.kind == "flip" and start <= fault.after_bytes < start + len(chunk):
            chunk[fault.after_bytes - start] ^= 1
        if fault.kind == "slow":
            time.sleep(len(chunk) / max(1, fault.bytes_per_s))
        if fault.kind in ("cut", "reset", "hang") and sent + len(chunk) > fault.after_bytes:
            self.wfile.write(chunk[: fault.after_bytes - sent])
            self.wfile.flush()
            if fault.kind == "hang":
                self._hang()
            if fault.kind == "reset":
                # Closed at once and without the orderly end that the server would send first: a reset goes out, as from
                # a box on the way that drops connections.
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                os.close(self.connection.detach())
            raise ConnectionError("cut")
        return chunk

    def _record(self, status: int) -> None:
        if self.sent:
            return
        self.sent = True
        self.server.requests.append(
            {
                "method": self.command,
                "path": self.path,
                "status": status,
                "range": self.headers.get("Range"),
                "authorized": "Authorization" in self.headers,
                "client": self.client_address[0],
            }
        )
