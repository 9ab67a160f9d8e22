"""Events about documents: each subscriber gets the latest state of what changed, never a backlog."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

DocumentEvent = tuple[str, dict[str, Any]]  # ("document", its public form) or ("removed", {"id"})


class Subscription:
    """One subscriber: at most one pending event a document, so a slow reader costs no memory."""

    def __init__(self) -> None:
        self._pending: OrderedDict[str, DocumentEvent] = OrderedDict()
        self._some = asyncio.Event()
        self._ended = False

    def put(self, document_id: str, event: DocumentEvent) -> None:
        self._pending[document_id] = event
        self._some.set()

    def end(self) -> None:
        self._ended = True
        self._some.set()

    async def events(self) -> AsyncIterator[DocumentEvent]:
        """As they happen, until the service stops."""
        while not self._ended:
            await self._some.wait()
            self._some.clear()
            while self._pending:
                yield self._pending.popitem(last=False)[1]


class DocumentEvents:
    """Publishes events to all subscriptions; all calls come from the event loop's thread."""

    def __init__(self) -> None:
        self._subscriptions: set[Subscription] = set()

    @contextmanager
    def subscription(self) -> Iterator[Subscription]:
        """A subscription that lasts as long as the block."""
        subscription = Subscription()
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)

    def changed(self, public: dict[str, Any]) -> None:
        """A document is new or has changed; ``public`` is its public form."""
        for subscription in self._subscriptions:
            subscription.put(public["id"], ("document", public))

    def removed(self, document_id: str) -> None:
        for subscription in self._subscriptions:
            subscription.put(document_id, ("removed", {"id": document_id}))

    def end(self) -> None:
        """End every subscription: the service stops, and an open stream would keep it waiting for its client."""
        for subscription in self._subscriptions:
            subscription.end()
