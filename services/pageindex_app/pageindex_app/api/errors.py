"""Errors on their way to a client: what is logged, and the one JSON shape that they have."""

import logging

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from ..base.errors import AppError, unforeseen

log = logging.getLogger(__name__)


def reported(error: Exception) -> AppError:
    """Log the error, and return what the client is told of it."""
    if isinstance(error, AppError):
        log.warning("refused", extra={"code": error.code, "status": error.status})
        return error
    log.error("unforeseen error", exc_info=error)
    return unforeseen()


def respond(error: AppError) -> JSONResponse:
    return JSONResponse(error.body(), status_code=error.status, headers=error.headers())


def install_error_handlers(app: FastAPI) -> None:
    """Give every error that a handler raises the same JSON shape."""

    @app.exception_handler(AppError)
    async def _app_error(_: Request, error: AppError) -> JSONResponse:
        return respond(reported(error))

    @app.exception_handler(RequestValidationError)
    async def _invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        # The faulty value stays out: it may be a document's text.
        faults = "; ".join(f"{'.'.join(map(str, e['loc'][1:])) or 'body'}: {e['msg']}" for e in error.errors())
        return respond(AppError(422, "invalid_request", f"The request is not valid: {faults}."))

    @app.exception_handler(HTTPException)
    async def _http(_: Request, error: HTTPException) -> JSONResponse:
        codes = {404: "not_found", 405: "method_not_allowed"}
        return respond(AppError(error.status_code, codes.get(error.status_code, "bad_request"), f"{error.detail}."))
