"""Errors in the shape that OpenAI's clients read."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute

from ...base.errors import AppError
from ..errors import reported

_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class OpenAIRoute(APIRoute):
    """Turns errors into the shape that OpenAI's clients read."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                return await handler(request)
            except AppError as error:
                return _respond(error)
            except RequestValidationError as error:
                return _respond(_invalid(error))

        return handle


class _Refusal(AppError):
    """Names the field of the request that is wrong, as OpenAI does."""

    param: str | None = None


def refusal(code: str, message: str, param: str) -> AppError:
    error = _Refusal(400, code, message)
    error.param = param
    return error


def _invalid(error: RequestValidationError) -> AppError:
    # The faulty value stays out: it may be what somebody asked.
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"][1:]))
    return refusal("invalid_request", f"{where or 'body'}: {first['msg']}.", where)


def _respond(error: AppError) -> JSONResponse:
    return JSONResponse(error_body(reported(error)), status_code=_status(error), headers=error.headers())


def _status(error: AppError) -> int:
    # OpenAI's clients repeat a request after a 409, and the library would still be empty.
    return 400 if error.code == "no_documents" else error.status


def error_body(error: AppError) -> dict[str, Any]:
    status = _status(error)
    kind = _TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    message = f"{error.message} {error.hint}".strip()
    param = "model" if error.code == "model_not_found" else getattr(error, "param", None)
    return {"error": {"message": message, "type": kind, "param": param, "code": error.code}}
