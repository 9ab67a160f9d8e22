"""A small OpenAI-compatible server for tests: it summarises, chooses and answers by simple rules."""

import contextlib
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "test-key-of-the-model"
Reply = Callable[[dict[str, Any]], dict[str, Any] | str | int]


@dataclass
class FakeModel:
    """What it is told to do, and what it was asked."""

    url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    answer: Reply | None = None  # replaces the rule for plain questions; an int is an HTTP status
    failing: int | None = None  # answer everything with this status
    served: tuple[str, ...] = ("default",)
    busy_most: int = 0  # most calls seen at the same time
    delay_s: float = 0.0
    delay_per_token_s: float = 0.0
    hung_up: int = 0  # streams that the client closed before their end
    _busy: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def reply(self, body: dict[str, Any]) -> dict[str, Any] | str | int:
        prompt = str(body["messages"][-1].get("content") or "")
        if body.get("response_format"):
            labels = body["response_format"]["json_schema"]["schema"]["properties"]["sections"]["items"]["enum"]
            return json.dumps({"sections": labels[:1]})
        if self.answer is not None:
            return self.answer(body)
        if "summary" in prompt or "description" in prompt:
            return json.dumps({"summary": "A summary by the fake model."})
        return _best_sentence(prompt)


def _best_sentence(prompt: str) -> str:
    """The sentence of the given text that shares most words with the question."""
    text, _, question = prompt.rpartition("Question:")
    wanted = set(re.findall(r"\w{4,}", question.lower()))
    found = re.split(r"(?<=[.!?])\s+|\n", text)
    return max(found, key=lambda sentence: len(wanted & set(re.findall(r"\w{4,}", sentence.lower()))))


def _completion(message: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": "default",
        "choices": [
            {"index": 0, "message": message, "finish_reason": "tool_calls" if "tool_calls" in message else "stop"}
        ],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }


def _chunks(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
    base = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "default"}
    calls = [{"index": number, **call} for number, call in enumerate(message.get("tool_calls", []))]
    pieces: list[str | None] = [*re.findall(r"\s*\S+\s*?", message.get("content") or "")] or [None]
    for piece in pieces:
        delta = {"role": "assistant", "content": piece} | ({"tool_calls": calls} if calls else {})
        yield base | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    yield base | {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls" if calls else "stop"}]}
    yield base | {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}


@contextlib.contextmanager
def fake_model(port: int = 0, host: str = "127.0.0.1") -> Iterator[FakeModel]:
    """Serve until the block ends."""
    model = FakeModel()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def _send(self, status: int, body: dict[str, Any]) -> None:
            raw = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def _refused(self) -> bool:
            if self.headers.get("Authorization") != f"Bearer {KEY}":
                self._send(401, {"error": {"message": "wrong key"}})
            elif model.failing is not None:
                self._send(model.failing, {"error": {"message": "told to fail"}})
            else:
                return False
            return True

        def do_GET(self) -> None:
            if not self._refused():
                self._send(200, {"object": "list", "data": [{"id": name, "object": "model"} for name in model.served]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self._refused():
                return
            with model._lock:
                model.requests.append(body)
                model.headers.append(dict(self.headers))
                model._busy += 1
                model.busy_most = max(model.busy_most, model._busy)
            try:
                time.sleep(model.delay_s)
                reply = model.reply(body)
            finally:
                with model._lock:
                    model._busy -= 1
            if isinstance(reply, int):
                self._send(reply, {"error": {"message": "told to fail"}})
                return
            message = {"role": "assistant", "content": reply} if isinstance(reply, str) else reply
            if not body.get("stream"):
                self._send(200, _completion(message))
                return
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Connection", "close")
            self.end_headers()
            try:
                for chunk in _chunks(message):
                    self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
                    self.wfile.flush()
                    time.sleep(model.delay_per_token_s)
                self.wfile.write(b"data: [DONE]\n\n")
            except OSError:
                model.hung_up += 1
            self.close_connection = True

    server = ThreadingHTTPServer((host, port), Handler)
    model.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield model
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


if __name__ == "__main__":  # in a container beside the app's
    with fake_model(8000, "0.0.0.0") as served:
        served.delay_s = 1.0
        threading.Event().wait()
