"""Another stack's gateway, as an app that sends it pictures of pages sees it. Runs in a plain Python container.

Its argument is the only key it knows.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = sys.argv[-1]


class Neighbour(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.headers["Authorization"] != f"Bearer {KEY}" or self.path != "/v1/chat/completions":
            self.send_error(401)
            return
        [picture] = [part for part in body["messages"][0]["content"] if part["type"] == "image_url"]
        assert picture["image_url"]["url"].startswith("data:image/png;base64,")
        message = {"role": "assistant", "content": "The lighthouse was built in 1871."}
        answer = {"id": "1", "object": "chat.completion", "created": 1, "model": body["model"],
                  "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}  # fmt: skip
        payload = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)


if __name__ == "__main__":
    ThreadingHTTPServer(("0.0.0.0", 8080), Neighbour).serve_forever()
