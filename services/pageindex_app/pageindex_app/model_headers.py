"""What a call to the model says beside its body: which request it belongs to, and which document it is about."""

from collections.abc import Sequence
from contextvars import ContextVar

from .logs import request_id

_session: ContextVar[str] = ContextVar("model_session", default="")


def set_subject(document_ids: Sequence[str]) -> None:
    """From here on, what this task asks the model is about these documents.

    The gateway sends the questions to one document to one replica, which finds the prompt's beginning in its cache.
    Questions to several share no beginning, and go where the fewest run.
    """
    _session.set(document_ids[0] if len(document_ids) == 1 else "")


def model_headers() -> dict[str, str]:
    """As HTTP headers."""
    session = _session.get()
    return {"X-Request-Id": request_id.get(), **({"X-Session-Id": session} if session else {})}
