"""Who watches the library: each subscriber gets the latest state of what changed, never a backlog."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

Change = tuple[str, dict[str, Any]]  # ("document", its public form) or ("removed", {"id"})


class Watch:
    """One subscriber: at most one pending change a document, so a slow reader costs no memory."""

    def __init__(self) -> None:
        self._pending: OrderedDict[str, Change] = OrderedDict()
        self._some = asyncio.Event()
        self._ended = False

    def put(self, document_id: str, change: Change) -> None:
        self._pending[document_id] = change
        self._some.set()

    def end(self) -> None:
        self._ended = True
        self._some.set()

    async def changes(self) -> AsyncIterator[Change]:
        """As they happen, until the service stops."""
        while not self._ended:
            await self._some.wait()
            self._some.clear()
            while self._pending:
                yield self._pending.popitem(last=False)[1]


class Changes:
    """Publishes changes to all watches; all calls come from the event loop's thread."""

    def __init__(self) -> None:
        self._watches: set[Watch] = set()

    @contextmanager
    def watch(self) -> Iterator[Watch]:
        watch = Watch()
        self._watches.add(watch)
        try:
            yield watch
        finally:
            self._watches.discard(watch)

    def document(self, public: dict[str, Any]) -> None:
        for watch in self._watches:
            watch.put(public["id"], ("document", public))

    def removed(self, document_id: str) -> None:
        for watch in self._watches:
            watch.put(document_id, ("removed", {"id": document_id}))

    def end(self) -> None:
        """The service stops: a stream that is open would make it wait for whoever listens."""
        for watch in self._watches:
            watch.end()
