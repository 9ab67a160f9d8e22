"""Every refusal that the app makes, with a sentence that its reader understands."""

from typing import Any


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
    """What a client is told of a fault of the app: none of its details."""
    return AppError(500, "internal", "Something went wrong inside the service.", "Its log has the request's id.")
