"""Server-sent events: lines on the wire, and comments that keep an idle connection open."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from fastapi.responses import StreamingResponse

KEEP_ALIVE_S = 15.0
_WAITING_MOST = 64  # events a slow client may be behind before the model's stream waits for it
COMMENT = b": still here\n\n"


def line(event: str, data: Any) -> bytes:
    """One event; JSON never contains a raw line break, so one data line is enough."""
    return f"event: {event}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


def response(lines: AsyncIterator[bytes]) -> StreamingResponse:
    """Streams the lines; when the client disconnects, the task that makes them is cancelled."""
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(kept_alive(lines), media_type="text/event-stream", headers=headers)


async def kept_alive(lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The lines, with a comment in between whenever nothing came for a while."""
    queue: asyncio.Queue[bytes | BaseException | None] = asyncio.Queue(_WAITING_MOST)

    async def pump() -> None:
        # One task runs the whole iterator: its timeouts and clean-up must not move between tasks.
        try:
            async for item in lines:
                await queue.put(item)
        except Exception as error:
            await queue.put(error)
        else:
            await queue.put(None)

    task = asyncio.create_task(pump())
    try:
        while True:
            try:
                item = await asyncio.wait_for(queue.get(), KEEP_ALIVE_S)
            except TimeoutError:
                yield COMMENT
                continue
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        task.cancel()
        # Not gather: the server cancels this again and again while it waits, and gather would pass each of these
        # on to the task, in the middle of closing its connection to the model, which then stayed open.
        await asyncio.wait({task})
