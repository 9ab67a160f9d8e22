"""Every refusal the API makes, with a sentence that its reader understands."""

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

log = logging.getLogger(__name__)


class AppError(Exception):
    """Something the caller must know: ``code`` for programs, ``message`` and ``hint`` for people."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        hint: str = "",
        *,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.hint = hint
        self.retry_after_s = retry_after_s

    def body(self) -> dict[str, Any]:
        return {"error": {"code": self.code, "message": self.message, "hint": self.hint}}

    def headers(self) -> dict[str, str]:
        return {} if self.retry_after_s is None else {"Retry-After": str(self.retry_after_s)}


def model_unavailable(reason: str) -> AppError:
    """``reason`` is a phrase such as "it does not answer"; it goes to the client and names no key."""
    return AppError(
        503,
        "model_unavailable",
        f"The language model is not available: {reason}.",
        "Try again in a moment; GET /ready says when the service is ready.",
        retry_after_s=10,
    )


def document_not_found(document_id: str) -> AppError:
    return AppError(
        404,
        "document_not_found",
        f"There is no document {document_id!r}.",
        "GET /api/documents lists the documents and their ids.",
    )


def upload_too_large(limit_mib: int) -> AppError:
    return AppError(
        413,
        "too_large",
        f"The upload is larger than {limit_mib} MiB.",
        "Split the document, or let the operator raise MAX_UPLOAD_MIB.",
    )


def unforeseen() -> AppError:
    """What a client is told of a fault of ours: nothing of its insides."""
    return AppError(500, "internal", "Something went wrong inside the service.", "Its log has the request's id.")


def respond(error: AppError) -> JSONResponse:
    return JSONResponse(error.body(), status_code=error.status, headers=error.headers())


def install_error_handlers(app: FastAPI) -> None:
    """Give every error that a handler raises the same JSON shape."""

    @app.exception_handler(AppError)
    async def _app_error(_: Request, error: AppError) -> JSONResponse:
        log.warning("refused", extra={"code": error.code, "status": error.status})
        return respond(error)

    @app.exception_handler(RequestValidationError)
    async def _invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        # The faulty value stays out: it may be a document's text.
        faults = "; ".join(f"{'.'.join(map(str, e['loc'][1:])) or 'body'}: {e['msg']}" for e in error.errors())
        return respond(AppError(422, "invalid_request", f"The request is not valid: {faults}."))

    @app.exception_handler(HTTPException)
    async def _http(_: Request, error: HTTPException) -> JSONResponse:
        codes = {404: "not_found", 405: "method_not_allowed"}
        return respond(AppError(error.status_code, codes.get(error.status_code, "bad_request"), f"{error.detail}."))
