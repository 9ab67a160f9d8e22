"""The HTTP API. Routes translate; what they do lives in the modules they call."""

import logging
import time
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, File, Request, Response, UploadFile
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field, StringConstraints

from .answering import Answer
from .errors import AppError
from .services import Services

log = logging.getLogger(__name__)
router = APIRouter()

Question = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=4000)]
_CHUNK_BYTES = 1024 * 1024


class AskRequest(BaseModel):
    question: Question
    document_ids: list[str] | None = Field(None, max_length=1000, description="Default: all documents.")


class ProcessRequest(BaseModel):
    document: Annotated[str, StringConstraints(min_length=1)] = Field(description="A text, or a document's id.")
    query: Question


def services(request: Request) -> Services:
    return request.app.state.services  # type: ignore[no-any-return]


Parts = Annotated[Services, Depends(services)]


@router.get("/health")
async def health() -> dict[str, str]:
    """The process is alive; says nothing of what it depends on."""
    return {"status": "alive"}


@router.get("/ready")
async def ready(parts: Parts) -> JSONResponse:
    """Whether questions can be answered and documents stored, with the reason for each part that is not ready."""
    reasons = {"vllm": await parts.model.unavailable(), "storage": parts.library.writable()}
    checks = {part: {"ok": reason is None, "reason": reason or ""} for part, reason in reasons.items()}
    ok = not any(reasons.values())
    body = {"status": "ready" if ok else "not ready", "checks": checks}
    return JSONResponse(body, status_code=200 if ok else 503, headers={} if ok else {"Retry-After": "10"})


@router.post("/api/documents", status_code=201)
async def upload(parts: Parts, response: Response, file: Annotated[UploadFile, File()]) -> dict[str, Any]:
    """Store and index a PDF or Markdown file: 201 when it is new, 200 when it was there already."""

    async def chunks() -> AsyncIterator[bytes]:
        while chunk := await file.read(_CHUNK_BYTES):
            yield chunk

    received = await parts.indexer.receive(file.filename or "document", chunks())
    document, new = await parts.indexer.add(received)
    response.status_code = 201 if new else 200
    response.headers["Location"] = f"/api/documents/{document.id}"
    return document.public()


@router.get("/api/documents")
async def list_documents(parts: Parts) -> dict[str, Any]:
    documents = parts.library.all()
    return {"documents": [document.public() for document in documents], "total": len(documents)}


@router.get("/api/documents/{document_id}")
async def get_document(parts: Parts, document_id: str) -> dict[str, Any]:
    return parts.library.get(document_id).public()


@router.get("/api/documents/{document_id}/tree")
def get_tree(parts: Parts, document_id: str) -> dict[str, Any]:
    """PageIndex's tree: titles, pages (start_index to end_index), summaries."""
    document = parts.library.get(document_id)
    return {"document_id": document.id, "document": document.name, "tree": parts.library.tree(document)}


@router.delete("/api/documents/{document_id}", status_code=204)
def delete_document(parts: Parts, document_id: str) -> Response:
    parts.library.delete(document_id)
    return Response(status_code=204)


@router.post("/api/ask")
async def ask(parts: Parts, request: AskRequest) -> Answer:
    """Answer from the named documents, or from all."""
    return await _timed(parts.questions.ask(request.question, request.document_ids))


@router.post("/api/process")
async def process(parts: Parts, request: ProcessRequest) -> Answer:
    """Answer from a text that comes with the question, or from one stored document."""
    if len(request.document.encode()) > parts.settings.max_upload_bytes:
        raise AppError(413, "too_large", f"The text is larger than {parts.settings.max_upload_mib} MiB.")
    return await _timed(parts.questions.process(request.document, request.query))


async def _timed(pending: Any) -> Answer:
    started = time.monotonic()
    answer: Answer = await pending
    log.info(
        "answered",
        extra={
            "mode": answer.mode,
            "support": answer.support,
            "citations": len(answer.citations),
            "duration_ms": round((time.monotonic() - started) * 1000),
        },
    )
    return answer
