"""What stands behind the gateway in its tests: it records every request and behaves as the request's body asks.

Runs inside a plain Python container (standard library only), on 8000 as vLLM and on 3000 as the app. Port 9000 is for
the test itself: GET /seen lists the requests, POST /release lets a held answer go on.
"""

import json
import os
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

seen: list[dict[str, object]] = []
vllm_figures = {"num_requests_running": 0.0, "generation_tokens_total": 0.0, "prompt_tokens_total": 0.0}
release = threading.Semaphore(0)
HOLD_S = 20
sick = {"status": 0, "breaking": 0}  # what every request gets, if any; whether each is broken off


class Backend(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        record = {
            "method": self.command, "path": self.path, "port": self.server.server_address[1], "bytes": len(body),
            "headers": [[name.lower(), value] for name, value in self.headers.items()], "time": time.time(),
        }  # fmt: skip
        seen.append(record)
        if self.path == "/metrics" and "Authorization" not in self.headers:  # who counts asks vLLM for its figures
            seen.pop()
            self.figures()
            return
        try:
            wish = json.loads(body)
        except ValueError:
            wish = {}
        if wish.get("break") or sick["breaking"]:  # gone without a word, after the request was read
            self.hang_up()
        elif wish.get("chunks"):
            self.stream(wish["chunks"], wish.get("break_after", 0), record)
        else:
            if wish.get("hold"):
                release.acquire(timeout=HOLD_S)
            self.answer(
                sick["status"] or wish.get("status", 200),
                {"host": os.uname().nodename, **record},
                wish.get("headers", {}),
            )

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any  # noqa: N815

    def do_HEAD(self) -> None:
        self.handle_any()

    def figures(self) -> None:
        body = "".join(f'vllm:{name}{{model_name="m"}} {value}\n' for name, value in vllm_figures.items()).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def answer(self, status: int, payload: object, headers: dict[str, str]) -> None:
        body = json.dumps(payload).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def stream(self, chunks: int, break_after: int, record: dict[str, object]) -> None:
        """Each chunk after the first waits to be released, so that a test knows what was not sent yet."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for number in range(chunks):
            if number and number == break_after:
                self.hang_up()
                return
            if number:
                self.wait_for_release_or_client_gone(record)
                if "client_gone" in record:
                    return
            event = b"data: %d\n\n" % number
            try:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))
            except ConnectionError:
                record["client_gone"] = time.time()
                self.close_connection = True
                return
        self.wfile.write(b"0\r\n\r\n")

    def wait_for_release_or_client_gone(self, record: dict[str, object]) -> None:
        deadline = time.monotonic() + HOLD_S
        self.connection.settimeout(0.02)
        while time.monotonic() < deadline and not release.acquire(timeout=0.02):
            try:
                gone = self.connection.recv(1, socket.MSG_PEEK) == b""
            except TimeoutError:
                continue
            except ConnectionError:
                gone = True
            if gone:
                record["client_gone"] = time.time()
                self.close_connection = True
                return
        self.connection.settimeout(None)

    def log_message(self, *_: object) -> None:
        pass


class Control(Backend):
    def handle_any(self) -> None:
        if self.path == "/release":
            release.release()
        if self.path == "/forget":
            seen.clear()
            while release.acquire(blocking=False):  # what an earlier test did not use
                pass
        for what in sick:
            if self.path.startswith(f"/{what}/"):
                sick[what] = int(self.path.removeprefix(f"/{what}/"))
        if self.path.startswith("/running/"):
            vllm_figures["num_requests_running"] = float(self.path.removeprefix("/running/"))
        self.answer(200, seen, {})

    do_GET = do_POST = handle_any  # noqa: N815


if __name__ == "__main__":
    ThreadingHTTPServer.request_queue_size = 256
    for port, handler in ((8000, Backend), (3000, Backend)):
        threading.Thread(target=ThreadingHTTPServer(("0.0.0.0", port), handler).serve_forever, daemon=True).start()
    ThreadingHTTPServer(("0.0.0.0", 9000), Control).serve_forever()
