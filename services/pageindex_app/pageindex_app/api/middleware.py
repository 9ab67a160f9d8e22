"""What surrounds every request: its id, its line in the log, and the limit on its size."""

import logging
import re
import time
import uuid
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..base.errors import upload_too_large
from ..base.logs import request_id
from ..base.metrics import Metrics
from ..base.settings import MIB, Settings
from .errors import reported, respond

log = logging.getLogger(__name__)
_ACCEPTED_ID = re.compile(r"[\w.:-]{1,128}", re.ASCII)
_QUIET = {"/health", "/ready", "/metrics"}  # asked every few seconds: logged only when they fail


class RequestContext:
    """Takes ``X-Request-Id`` over or makes one, returns it, and logs the request without its content."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id.set(given if _ACCEPTED_ID.fullmatch(given) else uuid.uuid4().hex)
        started, status, answered = time.monotonic(), 500, False

        async def send_with_id(message: Message) -> None:
            nonlocal status, answered
            if message["type"] == "http.response.start":
                status, answered = message["status"], True
                MutableHeaders(scope=message)["X-Request-Id"] = request_id.get()
            await send(message)

        try:
            await self.app(scope, receive, send_with_id)
        except Exception as error:
            # Caught here, inside the server: its own log would print the exception's text, which may quote a document.
            told = reported(error)
            if not answered:
                await respond(told)(scope, receive, send_with_id)
        finally:
            self.metrics.request(scope["method"], status)
            if status >= 400 or scope["path"] not in _QUIET:
                fields: dict[str, Any] = {
                    "method": scope["method"],
                    "path": scope["path"],
                    "status": status,
                    "duration_ms": round((time.monotonic() - started) * 1000, 1),
                    "client": headers.get("x-client", ""),
                }
                log.info("request", extra=fields)


class BodyLimit:
    """Answers 413 as soon as a body is known to be too large, announced or not."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self.limit_mib = settings.max_upload_mib
        self.limit_bytes = settings.max_upload_bytes + MIB  # a form has lines of its own around the file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        error = upload_too_large(self.limit_mib)
        refusal = respond(error)
        refusal.headers["Connection"] = "close"  # the rest of the body is not read
        announced = Headers(scope=scope).get("content-length", "")
        if announced.isdigit() and int(announced) > self.limit_bytes:
            await refusal(scope, receive, send)
            return
        received, answered, exceeded = 0, False, False

        async def counted_receive() -> Message:
            nonlocal received, exceeded
            message = await receive()
            received += len(message.get("body", b""))
            if received > self.limit_bytes:
                exceeded = True
                raise error
            return message

        async def guarded_send(message: Message) -> None:
            nonlocal answered
            if not exceeded:
                answered = True
                await send(message)

        try:
            await self.app(scope, counted_receive, guarded_send)
        except Exception:
            if not exceeded:
                raise
        # The parser above wraps our error into one of its own; the client gets the real one.
        if exceeded and not answered:
            await refusal(scope, receive, send)
