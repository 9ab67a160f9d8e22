"""Where quoted words stand on a page, so that a reader sees them marked on its picture."""

import asyncio
import json
import logging
from pathlib import Path

from ..workers.python_process import module_command, module_environment

log = logging.getLogger(__name__)

TIMEOUT_S = 30.0  # the process itself ends after 10 s of computing
_AT_ONCE = asyncio.Semaphore(2)


async def find_boxes(file: Path, page: int, quote: str) -> list[list[float]]:
    """Boxes around the words on a PDF's page, see quote_finder.py; none where they are not found."""
    async with _AT_ONCE:
        return await _find(file, page, quote)


async def _find(file: Path, page: int, quote: str) -> list[list[float]]:
    process = await asyncio.create_subprocess_exec(
        *module_command("quote_finder"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,  # a library's complaint may quote the document
        env=module_environment(),
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
