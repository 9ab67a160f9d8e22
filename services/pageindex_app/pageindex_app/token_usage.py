"""What one request cost the model: its tokens, counted by the model's server and summed over all calls."""

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass
class TokenUsage:
    """Shared by all tasks of a request, which inherit the context but not what is set in it later."""

    prompt: int = 0
    completion: int = 0


_current: ContextVar[TokenUsage | None] = ContextVar("token_usage", default=None)


def count_from_here() -> TokenUsage:
    """A fresh count for what this task, and the tasks it starts, will ask the model."""
    usage = TokenUsage()
    _current.set(usage)
    return usage


def add(prompt: int, completion: int) -> None:
    """Called for each answer of the model; without a request that counts, nothing happens."""
    if usage := _current.get():
        usage.prompt += prompt
        usage.completion += completion
