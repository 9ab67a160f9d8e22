"""Uploads: written to disk, counted and hashed as they arrive, then recognised."""

import asyncio
import hashlib
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from ..base.errors import AppError, upload_too_large
from ..base.failures import Failure, refusal
from ..base.settings import Settings
from .document import Kind

MARKDOWN_SUFFIXES = (".md", ".markdown")
TEXT_SUFFIXES = (".txt",)


@dataclass(frozen=True)
class Upload:
    """A file that has arrived whole and is a PDF or a text."""

    path: Path
    name: str
    kind: Kind
    size_bytes: int
    sha256: str

    @property
    def document_id(self) -> str:
        return f"doc-{self.sha256[:16]}"

    @property
    def suffix(self) -> str:
        """What the document's name must end with."""
        if self.kind == "pdf":
            return ".pdf"
        suffix = Path(self.name.lower()).suffix
        return suffix if suffix in (*MARKDOWN_SUFFIXES, *TEXT_SUFFIXES) else ".md"


async def receive(name: str, chunks: AsyncIterator[bytes], incoming: Path, settings: Settings) -> Upload:
    """Store the file, or refuse it: for its size, or because it is neither a PDF nor a text."""
    path = incoming / uuid.uuid4().hex
    digest, size, head = hashlib.sha256(), 0, b""
    try:
        with path.open("wb") as file:
            async for chunk in chunks:
                size += len(chunk)
                if size > settings.max_upload_bytes:
                    raise upload_too_large(settings.max_upload_mib)
                head = head or chunk[:1024]
                digest.update(chunk)
                await asyncio.to_thread(file.write, chunk)
        kind = await asyncio.to_thread(_recognise, name, path, head, size)
    except BaseException as error:
        path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise refusal(Failure(code="storage_full"), settings) from error
        raise
    return Upload(path, name, kind, size, digest.hexdigest())


def _recognise(name: str, path: Path, head: bytes, size: int) -> Kind:
    """Tell a PDF by its first bytes, and a text by its name and content; the client's content type is ignored."""
    name = name.lower()
    if size == 0:
        raise AppError(422, "empty", "The file is empty.", "Upload a PDF or a Markdown file that contains text.")
    if head.startswith(b"%PDF-"):
        return "pdf"
    if name.endswith((*MARKDOWN_SUFFIXES, *TEXT_SUFFIXES)):
        try:
            text = path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError:
            text = "\0"
        if "\0" not in text:
            if not text.strip():
                raise AppError(422, "empty", "The file is empty.", "Upload a file that contains text.")
            return "text" if name.endswith(TEXT_SUFFIXES) else "markdown"
        raise AppError(
            415, "not_text", "The file is named like a text but is not UTF-8 text.", "Save it as UTF-8, or as a PDF."
        )
    if name.endswith(".pdf"):
        raise AppError(415, "not_a_pdf", "The file is named like a PDF but is not one.", "Export it as a PDF anew.")
    raise AppError(
        415, "unsupported_type", "Only PDF and Markdown files are read.", "Convert the document to PDF and upload that."
    )
