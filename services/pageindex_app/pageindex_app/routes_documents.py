"""Routes about documents: bring, list, read, index anew, remove."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, File, Query, Request, Response, UploadFile
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse

from . import sse
from .dependencies import Parts
from .errors import AppError
from .library import Document
from .uploads import receive

router = APIRouter(tags=["documents"])
_CHUNK_BYTES = 1024 * 1024
_MEDIA_TYPES = {"pdf": "application/pdf", "markdown": "text/markdown", "text": "text/plain"}


@router.post("/api/documents", status_code=202)
async def upload(parts: Parts, response: Response, file: Annotated[UploadFile, File()]) -> dict[str, Any]:
    """Store a PDF, Markdown or text file and queue it: 202 when there is work to do, 200 when it was there already."""

    async def chunks() -> AsyncIterator[bytes]:
        while chunk := await file.read(_CHUNK_BYTES):
            yield chunk

    received = await receive(file.filename or "document", chunks(), parts.library.incoming, parts.settings)
    document, accepted = parts.indexer.add(received)
    response.status_code = 202 if accepted else 200
    response.headers["Location"] = f"/api/documents/{document.id}"
    return document.public()


@router.get("/api/documents")
async def list_documents(
    parts: Parts,
    query: Annotated[str, Query(max_length=200, description="Part of a name.")] = "",
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
    offset: Annotated[int, Query(ge=0)] = 0,
) -> JSONResponse:
    """Newest first; ``total`` counts all that match."""
    wanted = query.strip().lower()
    documents = [document for document in parts.library.all() if wanted in document.name.lower()]
    shown = [document.public() for document in documents[offset : offset + limit]]
    return JSONResponse({"documents": shown, "total": len(documents)})


@router.get("/api/events")
async def events(parts: Parts) -> StreamingResponse:
    """Server-sent events: each change of a document, as it happens."""

    async def lines() -> AsyncIterator[bytes]:
        with parts.library.changes.watch() as watch:
            yield sse.COMMENT  # the headers go out now, and the client knows that it is connected
            async for event, data in watch.changes():
                yield sse.line(event, data)

    return sse.response(lines())


@router.get("/api/documents/{document_id}")
async def get_document(parts: Parts, document_id: str) -> dict[str, Any]:
    return parts.library.get(document_id).public()


@router.delete("/api/documents/{document_id}", status_code=204)
async def delete_document(parts: Parts, document_id: str) -> Response:
    """The file and its index are gone; indexing that is under way is ended."""
    await parts.indexer.delete(document_id)
    parts.page_images.drop(document_id)
    return Response(status_code=204)


@router.post("/api/documents/{document_id}/reindex", status_code=202)
async def reindex(parts: Parts, document_id: str) -> dict[str, Any]:
    """Index a document anew; until that is done the old index answers."""
    return parts.indexer.reindex(document_id).public()


@router.get("/api/documents/{document_id}/tree")
def get_tree(parts: Parts, document_id: str) -> dict[str, Any]:
    """PageIndex's tree: titles, pages (start_index to end_index), summaries."""
    document = _readable(parts, document_id)
    return {"document_id": document.id, "document": document.name, "tree": parts.library.tree(document)}


@router.get("/api/documents/{document_id}/pages/{page}")
def get_page(parts: Parts, document_id: str, page: int) -> dict[str, Any]:
    """The text of one page, counted from 1."""
    document = _readable(parts, document_id)
    _check_page(document, page)
    return {"page": page, "text": parts.library.index(document).page_text(page)}


@router.get("/api/documents/{document_id}/pages/{page}/image")
async def get_page_image(
    parts: Parts, document_id: str, page: int, request: Request, width: Annotated[int, Query(ge=1, le=4000)] = 1000
) -> Response:
    """The page of a PDF as a PNG, at least about as wide as wished."""
    document = _readable(parts, document_id)
    _check_page(document, page)
    headers = {
        # The id is made of the bytes, so a picture never changes.
        "ETag": f'"{document.id}-{page}-{parts.page_images.width(width)}"',
        "Cache-Control": "private, max-age=86400",
    }
    if headers["ETag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    path = await parts.page_images.get(document, page, width)
    return Response(await asyncio.to_thread(path.read_bytes), media_type="image/png", headers=headers)


@router.get("/api/documents/{document_id}/file")
async def get_file(parts: Parts, document_id: str) -> FileResponse:
    """The uploaded bytes, always as a download."""
    document = parts.library.get(document_id)
    return FileResponse(
        parts.library.original(document),
        media_type=_MEDIA_TYPES[document.kind],
        filename=document.name,
        headers={"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox; default-src 'none'"},
    )


@router.get("/api/search")
def search(
    parts: Parts,
    q: Annotated[str, Query(min_length=1, max_length=1000)],
    limit: Annotated[int, Query(ge=1, le=100)] = 10,
) -> dict[str, Any]:
    """Passages that match the words, best first, one a page."""
    return {"hits": [hit.model_dump() for hit in parts.library_search.search(q, limit)]}


def _readable(parts: Parts, document_id: str) -> Document:
    document = parts.library.get(document_id)
    if not document.readable:
        raise AppError(
            409,
            "not_ready",
            f"{document.name!r} is not indexed yet.",
            "GET /api/documents/{id} says how far it is.",
            retry_after_s=5,
        )
    return document


def _check_page(document: Document, page: int) -> None:
    if not 1 <= page <= (document.pages or 0):
        raise AppError(404, "no_such_page", f"{document.name!r} has pages 1 to {document.pages}.")
