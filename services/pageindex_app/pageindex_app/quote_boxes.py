"""Where quoted words stand on a page, so that a reader sees them marked on its picture."""

import asyncio
import json
import logging
import os
import sys
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query

from .dependencies import Parts

log = logging.getLogger(__name__)
router = APIRouter(tags=["documents"])

TIMEOUT_S = 30.0  # the process itself ends after 10 s of computing
_AT_ONCE = asyncio.Semaphore(2)
_PACKAGE_ROOT = str(Path(__file__).resolve().parents[1])


@router.get("/api/documents/{document_id}/pages/{page}/boxes")
async def quote_boxes(
    parts: Parts, document_id: str, page: int, quote: Annotated[str, Query(min_length=1, max_length=2000)]
) -> dict[str, list[list[float]]]:
    """Boxes around a quote's words on a PDF's page: left, top, width, height as shares of the page.

    There are none where the page has no such words, or no text layer.
    """
    document = parts.library.get(document_id)
    if document.kind != "pdf" or not 1 <= page <= (document.pages or 0):
        return {"boxes": []}
    async with _AT_ONCE:
        return {"boxes": await _find(parts.library.original(document), page, quote)}


async def _find(file: Path, page: int, quote: str) -> list[list[float]]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pageindex_app.quote_finder"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,  # a library's complaint may quote the document
        env={**os.environ, "PYTHONPATH": os.pathsep.join([_PACKAGE_ROOT, os.environ.get("PYTHONPATH", "")])},
    )
    job = json.dumps({"file": str(file), "page": page, "quote": quote}).encode()
    try:
        out, _ = await asyncio.wait_for(process.communicate(job), TIMEOUT_S)
        found: list[list[float]] = json.loads(out) if process.returncode == 0 else []
    except (TimeoutError, ValueError):
        found = []
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        log.warning("quote not looked for", extra={"code": process.returncode})
    return found
