"""Routes about documents: upload, list, read, index anew, delete."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, File, Query, Request, Response, UploadFile
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse

from ...base.errors import AppError
from ...documents.document import Document
from ...documents.quote_boxes import find_boxes
from ...documents.uploads import receive
from ...search.page_search import search_pages
from ...services import Services
from .. import sse
from ..dependencies import AppServices

router = APIRouter(tags=["documents"])
_CHUNK_BYTES = 1024 * 1024
_MEDIA_TYPES = {"pdf": "application/pdf", "markdown": "text/markdown", "text": "text/plain"}


@router.post("/api/documents", status_code=202)
async def upload(services: AppServices, response: Response, file: Annotated[UploadFile, File()]) -> dict[str, Any]:
    """Store a PDF, Markdown or text file and queue it: 202 when there is work to do, 200 when it was there already."""

    async def chunks() -> AsyncIterator[bytes]:
        while chunk := await file.read(_CHUNK_BYTES):
            yield chunk

    received = await receive(file.filename or "document", chunks(), services.library.incoming, services.settings)
    document, accepted = services.indexer.add(received)
    response.status_code = 202 if accepted else 200
    response.headers["Location"] = f"/api/documents/{document.id}"
    return document.public()


@router.get("/api/documents")
async def list_documents(
    services: AppServices,
    query: Annotated[str, Query(max_length=200, description="Part of a name.")] = "",
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
    offset: Annotated[int, Query(ge=0)] = 0,
) -> JSONResponse:
    """Newest first; ``total`` counts all that match."""
    wanted = query.strip().lower()
    documents = [document for document in services.library.all() if wanted in document.name.lower()]
    shown = [document.public() for document in documents[offset : offset + limit]]
    return JSONResponse({"documents": shown, "total": len(documents)})


@router.get("/api/events")
async def events(services: AppServices) -> StreamingResponse:
    """Server-sent events: each change of a document, as it happens."""

    async def lines() -> AsyncIterator[bytes]:
        with services.library.events.subscription() as subscription:
            yield sse.COMMENT  # the headers go out now, and the client knows that it is connected
            async for event, data in subscription.events():
                yield sse.line(event, data)

    return sse.response(lines())


@router.get("/api/documents/{document_id}")
async def get_document(services: AppServices, document_id: str) -> dict[str, Any]:
    return services.library.get(document_id).public()


@router.delete("/api/documents/{document_id}", status_code=204)
async def delete_document(services: AppServices, document_id: str) -> Response:
    """The file and its index are gone; indexing that is under way is ended."""
    await services.indexer.delete(document_id)
    services.page_images.drop(document_id)
    return Response(status_code=204)


@router.post("/api/documents/{document_id}/reindex", status_code=202)
async def reindex(services: AppServices, document_id: str) -> dict[str, Any]:
    """Index a document anew; until that is done the old index answers."""
    return services.indexer.reindex(document_id).public()


@router.get("/api/documents/{document_id}/tree")
def get_tree(services: AppServices, document_id: str) -> dict[str, Any]:
    """PageIndex's tree: titles, pages (start_index to end_index), summaries."""
    document = _readable(services, document_id)
    return {"document_id": document.id, "document": document.name, "tree": services.library.tree(document)}


@router.get("/api/documents/{document_id}/pages/{page}")
def get_page(services: AppServices, document_id: str, page: int) -> dict[str, Any]:
    """The text of one page, counted from 1."""
    document = _readable(services, document_id)
    _check_page(document, page)
    return {"page": page, "text": services.library.index(document).page_text(page)}


@router.get("/api/documents/{document_id}/pages/{page}/image")
async def get_page_image(
    services: AppServices,
    document_id: str,
    page: int,
    request: Request,
    width: Annotated[int, Query(ge=1, le=4000)] = 1000,
) -> Response:
    """The page of a PDF as a PNG, at least about as wide as wished."""
    document = _readable(services, document_id)
    _check_page(document, page)
    headers = {
        # The id is made of the bytes, so a picture never changes.
        "ETag": f'"{document.id}-{page}-{services.page_images.width(width)}"',
        "Cache-Control": "private, max-age=86400",
    }
    if headers["ETag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    path = await services.page_images.get(document, page, width)
    return Response(await asyncio.to_thread(path.read_bytes), media_type="image/png", headers=headers)


@router.get("/api/documents/{document_id}/pages/{page}/boxes")
async def quote_boxes(
    services: AppServices, document_id: str, page: int, quote: Annotated[str, Query(min_length=1, max_length=2000)]
) -> dict[str, list[list[float]]]:
    """Boxes around a quote's words on a PDF's page: left, top, width, height as shares of the page.

    There are none where the page has no such words, or no text layer.
    """
    document = services.library.get(document_id)
    if document.kind != "pdf" or not 1 <= page <= (document.pages or 0):
        return {"boxes": []}
    return {"boxes": await find_boxes(services.library.original(document), page, quote)}


@router.get("/api/documents/{document_id}/file")
async def get_file(services: AppServices, document_id: str) -> FileResponse:
    """The uploaded bytes, always as a download."""
    document = services.library.get(document_id)
    return FileResponse(
        services.library.original(document),
        media_type=_MEDIA_TYPES[document.kind],
        filename=document.name,
        headers={"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox; default-src 'none'"},
    )


@router.get("/api/search")
def search(
    services: AppServices,
    q: Annotated[str, Query(min_length=1, max_length=1000)],
    limit: Annotated[int, Query(ge=1, le=100)] = 10,
) -> dict[str, Any]:
    """Passages that match the words, best first, one a page."""
    indexes = [services.library.index(document) for document in services.library.ready()]
    return {"hits": [hit.model_dump() for hit in search_pages(q, indexes, limit)]}


def _readable(services: Services, document_id: str) -> Document:
    document = services.library.get(document_id)
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
