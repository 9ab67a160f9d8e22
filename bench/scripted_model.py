"""An OpenAI-compatible server that answers by rule at once: what is measured against it is the app, not a model."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Handler(BaseHTTPRequestHandler):
    """Chooses the first section, reads page 4 when it has tools, and copies the best sentence of a text."""

    protocol_version = "HTTP/1.1"
    pause_s = 0.0

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._json({"object": "list", "data": [{"id": "default", "object": "model"}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        time.sleep(self.pause_s)
        message = reply(body)
        if not body.get("stream"):
            self._json(completion({"message": message, "finish_reason": "stop"}))
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for chunk in chunks(message):
            self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
        self.wfile.write(b"data: [DONE]\n\n")
        self.close_connection = True

    def _json(self, body: dict[str, Any]) -> None:
        raw = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)


def reply(body: dict[str, Any]) -> dict[str, Any]:
    """The message of the model."""
    prompt = str(body["messages"][-1].get("content") or "")
    if body.get("tools"):
        if not any(message["role"] == "tool" for message in body["messages"]):
            arguments = json.dumps({"doc_name": "harbour-report-2025.pdf", "pages": "4"})
            call = {"id": "1", "type": "function", "function": {"name": "get_page_content", "arguments": arguments}}
            return {"role": "assistant", "content": None, "tool_calls": [call]}
        text = 'The channel is 11.8 metres deep <cite doc="harbour-report-2025.pdf" page="4"/>.'
        return {"role": "assistant", "content": text}
    if body.get("response_format"):
        schema = body["response_format"].get("json_schema", {}).get("schema", {}).get("properties", {})
        if "sections" in schema:
            label = schema["sections"]["items"]["enum"][0]
            return {"role": "assistant", "content": json.dumps({"sections": [label]})}
    if "Question:" not in prompt:
        return {"role": "assistant", "content": json.dumps({"summary": "A summary."})}
    text, _, question = prompt.rpartition("Question:")
    wanted = set(re.findall(r"\w{4,}", question.lower()))
    sentences = re.split(r"(?<=[.!?])\s+|\n", text)
    best = max(sentences, key=lambda sentence: len(wanted & set(re.findall(r"\w{4,}", sentence.lower()))))
    return {"role": "assistant", "content": best}


def completion(choice: dict[str, Any]) -> dict[str, Any]:
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    choices = [{"index": 0, **choice}]
    return {
        "id": "1",
        "object": "chat.completion",
        "created": 1,
        "model": "default",
        "choices": choices,
        "usage": usage,
    }


def chunks(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
    base = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "default"}
    calls = [{"index": number, **call} for number, call in enumerate(message.get("tool_calls", []))]
    delta = {"role": "assistant", "content": message["content"]} | ({"tool_calls": calls} if calls else {})
    yield base | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    yield base | {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls" if calls else "stop"}]}
    yield base | {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}


@contextmanager
def scripted_model(pause_s: float = 0.0) -> Iterator[str]:
    """Serve on loopback until the block ends; each call takes ``pause_s``. Yields the base URL."""
    handler = type("Paused", (Handler,), {"pause_s": pause_s})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()
