"""What is used of PageIndex beyond its public names, all in one place.

PageIndex offers no hook for the cost and the progress of its own calls to the model, so its functions are replaced.
Its version is pinned, and tests of tokens and progress hold these names.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import copy_context
from functools import cache
from typing import Any, Protocol

RETRY_AFTER_MOST_S = 60.0
ORDERS_CHARS = 600  # at the end of PageIndex's prompts: the form of the reply, after the text
HALVED_MOST = 3
_PATCHED = threading.Lock()

Count = Callable[[int, int], None]


@cache
def counting_client() -> Any:
    """PageIndex's client as a class with one more argument: ``count``, told the tokens of each of its model calls.

    PageIndex sums them up, but tells them to nobody who reads the events of a stream. The agent that it builds for a
    run takes hooks; PageIndex sets none.
    """
    from agents import AgentHooks
    from pageindex import PageIndexLocalClient, local_chat

    class Hooks(AgentHooks[Any]):
        def __init__(self, count: Count) -> None:
            self._count = count
            self._context = copy_context()  # PageIndex runs the agent in a thread of its own

        async def on_llm_end(self, _context: Any, _agent: Any, response: Any) -> None:
            self._context.run(self._count, response.usage.input_tokens, response.usage.output_tokens)

    class CountingClient(PageIndexLocalClient):  # type: ignore[misc]
        def __init__(self, count: Count, **options: Any) -> None:
            super().__init__(**options)
            self.agent_hooks = Hooks(count)

    plain = local_chat._chat_agent

    def with_hooks(client: Any, *arguments: Any, **options: Any) -> Any:
        agent, *rest = plain(client, *arguments, **options)
        agent.hooks = getattr(client, "agent_hooks", None)
        return agent, *rest

    local_chat._chat_agent = with_hooks
    return CountingClient


class IndexingObserver(Protocol):
    """Is told what PageIndex does while it indexes."""

    def responded(self, response: Any) -> None:
        """The model has answered a call."""

    def planned(self, nodes: list[Any]) -> None:
        """These nodes of the tree will be summarised."""

    def summarised(self, node: Any) -> None:
        """This node has its summary."""


@contextlib.contextmanager
def observed(observer: IndexingObserver, prompt_chars: int) -> Iterator[None]:
    """While this lasts, the observer is told of PageIndex's calls and summaries, whose prompts are kept in bounds.

    PageIndex lets a section go without its summary where the prompt is longer than the model's window.
    """
    import litellm
    import pageindex.utils as pageindex_utils

    scheduler = pageindex_utils.SummaryScheduler

    class Observed(scheduler):  # type: ignore[misc, valid-type]
        def mark_final(self, nodes: Any) -> None:
            nodes = list(nodes)
            observer.planned(nodes)
            super().mark_final(nodes)

        async def _visit(self, node: Any, depth: int) -> None:
            await super()._visit(node, depth)
            observer.summarised(node)

        async def _ask(self, prompt: str, prio: int) -> Any:
            room = prompt_chars
            for _ in range(HALVED_MOST):
                try:
                    return await super()._ask(shortened(prompt, room), prio)
                except Exception as error:  # LiteLLM's: text of other scripts has more tokens to a character
                    if getattr(error, "status_code", None) != 400 or len(prompt) <= room // 2:
                        raise
                room = min(room, len(prompt)) // 2
            return await super()._ask(shortened(prompt, room), prio)

    plain, plain_async = litellm.completion, litellm.acompletion

    def completion(**arguments: Any) -> Any:
        try:
            response = plain(**_in_bounds(arguments, prompt_chars))
        except Exception as error:
            time.sleep(retry_after_s(error))
            raise
        observer.responded(response)
        return response

    async def acompletion(**arguments: Any) -> Any:
        try:
            response = await plain_async(**arguments)
        except Exception as error:
            await asyncio.sleep(retry_after_s(error))
            raise
        observer.responded(response)
        return response

    with _PATCHED:
        pageindex_utils.SummaryScheduler = Observed
        litellm.completion, litellm.acompletion = completion, acompletion
        try:
            yield
        finally:
            pageindex_utils.SummaryScheduler = scheduler
            litellm.completion, litellm.acompletion = plain, plain_async


def _in_bounds(arguments: dict[str, Any], room: int) -> dict[str, Any]:
    """A document's description is asked for with the whole of its tree."""
    *before, last = arguments["messages"]
    return {**arguments, "messages": [*before, {**last, "content": shortened(last["content"], room)}]}


def shortened(prompt: str, room: int) -> str:
    """A prompt of PageIndex's that fits: its text is cut at the end, what comes after the text stays."""
    if len(prompt) <= room:
        return prompt
    end = prompt[-min(ORDERS_CHARS, room // 2) :]
    return f"{prompt[: room - len(end) - 3]}...{end}"


def retry_after_s(error: Exception) -> float:
    """How long the server asked to be left alone; PageIndex itself comes back after a second."""
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    try:
        wait_s = float(headers.get("retry-after", 0))
    except (TypeError, ValueError):
        return 0.0
    return min(max(wait_s, 0.0), RETRY_AFTER_MOST_S)


def page_texts(file: str) -> list[str]:
    """The text of each page of a PDF, as PageIndex reads it."""
    from pageindex.local_api import LocalAPI

    texts: list[str] = LocalAPI._extract_page_texts(file)
    return texts


def use_backend(backend: dict[str, Any]) -> None:
    """Let PageIndex's functions, called without its client, ask this model's server."""
    from pageindex.utils import _llm_backend

    _llm_backend.set(backend)
