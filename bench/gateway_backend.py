"""The constant model server of `make bench-gateway`: answers at once, or streams pieces at fixed times. One process.

`python gateway_backend.py PORT`. Standard library only; nginx answers what is not a stream, because it is faster.
"""

from __future__ import annotations

import asyncio
import json
import sys

PIECES = 16
PIECE_EVERY_S = 0.005
PIECE = b"data: " + json.dumps({"choices": [{"index": 0, "text": " word", "finish_reason": None}]}).encode() + b"\n\n"


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = next((line for line in head.split(b"\r\n") if line.startswith(b"content-length:")), b":0")
            await reader.readexactly(int(length.partition(b":")[2]))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            for number in range(PIECES):
                if number:
                    await asyncio.sleep(PIECE_EVERY_S)
                writer.write(b"%x\r\n%s\r\n" % (len(PIECE), PIECE))
                await writer.drain()
            writer.write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main() -> None:
    server = await asyncio.start_server(answer, "127.0.0.1", int(sys.argv[1]))
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
