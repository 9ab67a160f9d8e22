"""What all calls to the model that one request makes have in common: its id, its document, and what they cost."""

from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass

from ..base.logs import request_id


@dataclass
class TokenUsage:
    """Tokens as the model's server counts them, summed over all calls of a request.

    All tasks of a request share one: they inherit its context, but see nothing that is set in it later.
    """

    prompt: int = 0
    completion: int = 0


_session: ContextVar[str] = ContextVar("model_session", default="")
_usage: ContextVar[TokenUsage | None] = ContextVar("token_usage", default=None)


def set_subject(document_ids: Sequence[str]) -> None:
    """From here on, what this task asks the model is about these documents.

    The gateway sends the questions to one document to one replica, which finds the prompt's beginning in its cache.
    Questions to several share no beginning, and go where the fewest run.
    """
    _session.set(document_ids[0] if len(document_ids) == 1 else "")


def model_headers() -> dict[str, str]:
    """The HTTP headers that a call to the model carries."""
    session = _session.get()
    return {"X-Request-Id": request_id.get(), **({"X-Session-Id": session} if session else {})}


def count_tokens() -> TokenUsage:
    """A fresh count of what this task, and the tasks that it starts, ask the model."""
    usage = TokenUsage()
    _usage.set(usage)
    return usage


def add_tokens(prompt: int, completion: int) -> None:
    """Add what a call cost; nothing happens where no request counts."""
    if usage := _usage.get():
        usage.prompt += prompt
        usage.completion += completion
