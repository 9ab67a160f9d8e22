"""Reads scanned pages with a model that takes pictures, page by page; runs in a worker process."""

import asyncio
import base64
import io
from pathlib import Path
from typing import Any

import openai
import pypdfium2  # type: ignore[import-untyped]
from openai.types.chat import ChatCompletion

from ..base.failures import OcrUnavailable
from ..documents.rendering import picture
from ..workers.protocol import OcrConnection, Report
from .meter import Meter

WIDTH_PX = 1400  # about 170 dots an inch on A4: what OCR models are trained on
PAGE_TOKENS_MOST = 4096
PAGE_CHARS_MOST = 40_000  # a model that repeats itself for ever is cut
PROMPT = "Read all the text on this page, in reading order, as Markdown. Write nothing but the page's text."


def read_scan(file: Path, connection: OcrConnection, request_id: str, meter: Meter) -> list[str]:
    """The text of each page."""
    return asyncio.run(_read_all(file, connection, request_id, meter))


async def _read_all(file: Path, connection: OcrConnection, request_id: str, meter: Meter) -> list[str]:
    pdf = pypdfium2.PdfDocument(file)
    pages: list[str] = [""] * len(pdf)
    done = 0
    slots = asyncio.Semaphore(connection.concurrency)
    client = openai.AsyncOpenAI(
        base_url=connection.base_url, api_key=connection.api_key, timeout=connection.timeout_s, max_retries=5
    )

    async def read(number: int) -> None:
        nonlocal done
        async with slots:  # rendered here, so that only as many pictures are in memory as are being read
            reply = await _read_page(client, connection, _png(pdf, number), request_id)
        meter.outcome.scans.add(reply.usage)
        pages[number - 1] = _text_of(reply)
        done += 1
        meter.report(Report(stage="ocr", done=done, total=len(pages)))

    try:
        meter.report(Report(stage="ocr", done=0, total=len(pages)))
        async with asyncio.TaskGroup() as group:
            for number in range(1, len(pages) + 1):
                group.create_task(read(number))
    except* openai.APIStatusError as error:
        raise OcrUnavailable(f"it answered {_first(error).status_code}") from None
    except* openai.APIError:
        raise OcrUnavailable("it does not answer") from None
    finally:
        await client.close()
        pdf.close()
    return pages


def _first(group: BaseExceptionGroup[Any]) -> Any:
    found = group.exceptions[0]
    return _first(found) if isinstance(found, BaseExceptionGroup) else found


def _png(pdf: Any, number: int) -> bytes:
    out = io.BytesIO()
    picture(pdf, number, WIDTH_PX).save(out, format="PNG")
    return out.getvalue()


def _tokens_most(context_tokens: int | None) -> int:
    """Longest text of a page: half of a window is for the picture, which no server reads in part."""
    return min(PAGE_TOKENS_MOST, context_tokens // 2) if context_tokens else PAGE_TOKENS_MOST


async def _read_page(
    client: openai.AsyncOpenAI, connection: OcrConnection, png: bytes, request_id: str
) -> ChatCompletion:
    url = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    return await client.chat.completions.create(
        model=connection.model,
        messages=[
            {
                "role": "user",
                "content": [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": PROMPT}],
            }
        ],
        temperature=0.0,
        max_tokens=_tokens_most(connection.context_tokens),
        extra_headers={"X-Request-Id": request_id},
    )


def _text_of(reply: ChatCompletion) -> str:
    text = reply.choices[0].message.content or "" if reply.choices else ""
    return text.strip()[:PAGE_CHARS_MOST]
