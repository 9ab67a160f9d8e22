"""What the agent's model calls cost.

PageIndex sums their tokens up, but tells them to nobody who reads the events of a stream. The agent that it builds for
a run takes hooks; PageIndex sets none and offers no way to. Its version is pinned, and a test counts the tokens.
"""

from collections.abc import Callable
from contextvars import copy_context
from functools import cache
from typing import Any

Count = Callable[[int, int], None]


@cache
def counting_client() -> Any:
    """PageIndex's client as a class with one more argument: ``count``, told the tokens of each of its model calls."""
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
