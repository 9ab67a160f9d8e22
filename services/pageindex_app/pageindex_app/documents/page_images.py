"""Pictures of pages: drawn in a worker, kept on the volume up to a limit, the ones used last stay.

<data>/page-images/<document id>-<page>-<width>.png
"""

import asyncio
import os
from pathlib import Path

from ..base.errors import AppError
from ..base.files import sync_folder
from ..base.settings import MIB, Settings
from ..workers.protocol import RenderJob
from ..workers.worker_process import WorkerProcess
from .document import Document
from .library import Library

RENDER_TIMEOUT_S = 30.0
RENDER_MEMORY_MIB = 1536
WIDTHS = (200, 400, 600, 800, 1000, 1400, 2000)  # a wanted width is rounded up, so that few sizes fill the cache


class PageImages:
    """Draws one page at a time: PDFium takes milliseconds, and memory stays bounded."""

    def __init__(self, settings: Settings, library: Library) -> None:
        self._library = library
        self._folder = settings.data_dir / "page-images"
        self._limit_bytes = settings.page_image_cache_mib * MIB
        self._worker = WorkerProcess(RENDER_MEMORY_MIB)
        self._one = asyncio.Lock()

    def open(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        for path in self._folder.glob(".*"):
            path.unlink(missing_ok=True)
        sync_folder(self._folder)

    async def close(self) -> None:
        await self._worker.kill()

    @staticmethod
    def width(wanted: int) -> int:
        return next((width for width in WIDTHS if width >= wanted), WIDTHS[-1])

    async def get(self, document: Document, page: int, wanted_width: int) -> Path:
        """The picture's file. Documents never change, so neither do their pictures."""
        if document.kind != "pdf":
            raise AppError(404, "no_image", "Only the pages of PDFs have pictures.", "Read the page's text instead.")
        width = self.width(wanted_width)
        target = self._folder / f"{document.id}-{page}-{width}.png"
        if not target.is_file():
            async with self._one:
                if not target.is_file():
                    await self._render(document, page, width, target)
        os.utime(target)
        return target

    async def _render(self, document: Document, page: int, width: int, target: Path) -> None:
        job = RenderJob(file=self._library.original(document), page=page, width=width, target=target)
        outcome = await self._worker.run(job, RENDER_TIMEOUT_S)
        if outcome.failure is not None or not target.is_file():
            raise AppError(
                422, "no_image", f"Page {page} of {document.name!r} cannot be drawn.", "Read the page's text instead."
            )
        await asyncio.to_thread(self._prune, target)

    def _prune(self, newest: Path) -> None:
        """Drop the pictures not asked for longest until the rest fits."""
        found = sorted((path.stat().st_mtime, path.stat().st_size, path) for path in self._folder.glob("doc-*.png"))
        total = sum(size for _, size, _ in found)
        for _, size, path in found:
            if total <= self._limit_bytes:
                return
            if path != newest:
                path.unlink(missing_ok=True)
                total -= size

    def drop(self, document_id: str) -> None:
        for path in self._folder.glob(f"{document_id}-*.png"):
            path.unlink(missing_ok=True)
