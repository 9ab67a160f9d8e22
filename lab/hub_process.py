"""The model hub as a process: the hub for containers, and its admin routes, which only this machine can reach."""

from __future__ import annotations

import argparse
import json
import signal
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from lab.hub_faults import Fault
from lab.hub_server import HubServer
from lab.hub_store import Snapshot, Store

MAX_BODY = 2**20


class AdminServer(ThreadingHTTPServer):
    """GET or PUT /faults and /access, GET or DELETE /requests, GET /status."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, port: int, hub: HubServer):
        self.hub = hub
        super().__init__(("127.0.0.1", port), AdminHandler)


class AdminHandler(BaseHTTPRequestHandler):
    server: AdminServer
    timeout = 10

    def do_GET(self) -> None:
        hub = self.server.hub
        store = hub.store
        contents: dict[str, Any] = {
            "/status": {"endpoint": hub.endpoint, "requests": len(hub.requests)},
            "/faults": hub.faults.listing(),
            "/requests": list(hub.requests),
            "/access": {
                "known": sorted(store.known) if store.known is not None else None,
                "gated": {repo: sorted(tokens) for repo, tokens in store.gated.items()},
                "tokens": sorted(store.tokens),
            },
        }
        if self.path in contents:
            self._answer(contents[self.path])
        else:
            self._answer({"error": f"no route {self.path}; there are {', '.join(contents)}"}, 404)

    def do_DELETE(self) -> None:
        if self.path == "/requests":
            self.server.hub.requests.clear()
            self._answer([])
        else:
            self._answer({"error": f"{self.path} cannot be deleted"}, 404)

    def do_PUT(self) -> None:
        length = min(int(self.headers.get("Content-Length") or 0), MAX_BODY)
        try:
            body = json.loads(self.rfile.read(length))
            if self.path == "/faults":
                self.server.hub.faults.replace([Fault(**fault) for fault in body])
            elif self.path == "/access":
                set_access(self.server.hub.store, **body)
            else:
                return self._answer({"error": f"{self.path} cannot be set"}, 404)
        except (ValueError, TypeError, AttributeError) as error:
            return self._answer({"error": str(error)}, 400)
        return self.do_GET()

    def log_message(self, format: str, *args: Any) -> None:
        """Nobody reads it."""

    def _answer(self, content: Any, status: int = 200) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def set_access(
    store: Store,
    *,
    known: list[str] | None = None,
    gated: dict[str, list[str]] | None = None,
    tokens: list[str] | None = None,
) -> None:
    """Which ids exist (None: all), which need one of which tokens, and which further tokens are valid."""
    store.known = None if known is None else set(known)
    store.gated = {repo: set(allowed) for repo, allowed in (gated or {}).items()}
    store.tokens = set(tokens or [])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--admin-port", type=int, required=True)
    parser.add_argument("--model", type=Path, required=True, help="directory that is served under every id")
    arguments = parser.parse_args()
    # Bound before the weights are hashed, so that a port in use is known at once.
    hub = HubServer((arguments.host, arguments.port), Store())
    admin = AdminServer(arguments.admin_port, hub)
    hub.store.default = Snapshot.of(arguments.model)
    threading.Thread(target=admin.serve_forever, daemon=True).start()

    def end(*_: object) -> None:
        threading.Thread(target=hub.stop).start()  # shutdown() waits for the loop that this signal interrupted

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    print(f"serving {arguments.model} on {hub.endpoint}, admin on 127.0.0.1:{arguments.admin_port}", flush=True)
    hub.serve_forever()


if __name__ == "__main__":
    main()
