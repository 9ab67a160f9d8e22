"""Clients that ask without a pause over connections they keep, half of them with POST; every answer is counted."""

from __future__ import annotations

import http.client
import threading
from collections import Counter
from collections.abc import Callable

CHAT = "/v1/chat/completions"


class Load:
    """``answers`` counts statuses, and the names of exceptions. Whoever uses it says what there may be."""

    def __init__(self, connect: Callable[[], http.client.HTTPConnection], key: str, clients: int = 8):
        self._connect, self._stop = connect, threading.Event()
        self._headers = {"Authorization": f"Bearer {key}", "Host": "localhost"}
        self.answers: Counter[object] = Counter()
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(clients)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=20)

    def _ask(self, number: int) -> None:
        connection = self._connect()
        while not self._stop.is_set():
            try:
                if number % 2:
                    connection.request("POST", CHAT, body=b"{}", headers=self._headers)
                else:
                    connection.request("GET", "/v1/models", headers=self._headers)
                answer = connection.getresponse()
                answer.read()
                self.answers[answer.status] += 1
            except (OSError, http.client.HTTPException) as error:
                self.answers[type(error).__name__] += 1
                connection.close()
