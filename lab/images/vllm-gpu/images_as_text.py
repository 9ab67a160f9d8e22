"""Lets a text model stand in for one that reads images: an image in a chat request becomes the word "[image]".

Only what the real model would have read: images sent along (data URLs), no more of them than --limit-mm-per-prompt
allows. Anything else stays as it is, and vLLM refuses it.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
import os
from collections.abc import Awaitable, Callable
from typing import Any

LIMIT = "STAND_IN_IMAGES_PER_PROMPT"
WORD = {"type": "text", "text": "[image]"}
log = logging.getLogger("vllm.stand_in")


def is_readable(part: Any) -> bool:
    """Whether it is an image that came with the request."""
    if not (isinstance(part, dict) and part.get("type") == "image_url" and isinstance(part.get("image_url"), dict)):
        return False
    head, _, data = str(part["image_url"].get("url", "")).partition(",")
    if not (head.startswith("data:image/") and head.endswith(";base64") and data):
        return False
    try:
        base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def without_images(body: bytes, most: int) -> bytes:
    """The request with words for its images; as it is, where vLLM is to refuse it or there are none."""
    try:
        request = json.loads(body)
        contents = [message["content"] for message in request["messages"] if isinstance(message.get("content"), list)]
    except (ValueError, LookupError, TypeError, AttributeError):
        return body
    images = sum(is_readable(part) for content in contents for part in content)
    if not 0 < images <= most:
        return body
    for content in contents:
        content[:] = [WORD if is_readable(part) else part for part in content]
    log.warning("%s image(s) of a request: not looked at, the served model reads text only", images)
    return json.dumps(request).encode()


class ImagesAsText:
    """ASGI middleware, for vLLM's --middleware."""

    def __init__(self, app: Callable[..., Awaitable[None]]):
        self.app = app
        self.most = int(os.environ.get(LIMIT, "0"))

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"] != "/v1/chat/completions" or self.most == 0:
            await self.app(scope, receive, send)
            return
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                return  # the client left
            body += message.get("body", b"")
            more = message.get("more_body", False)
        body = without_images(body, self.most)
        headers = [(key, value) for key, value in scope["headers"] if key != b"content-length"]
        headers.append((b"content-length", str(len(body)).encode()))
        given = False

        async def receive_changed() -> Any:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self.app(scope | {"headers": headers}, receive_changed, send)
