"""Clients that never stop asking, as users of a stack do, and what became of each request."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import httpx

TOKENS = 24
PAUSE_S = 0.2  # between a client's requests: the machine has a model to start meanwhile
BACK_OFF_S = 1.0  # after a refusal, or a minute's share of requests would be used up by asking again
# A client that reuses connections for as long as the usual Python clients do.
LIMITS = httpx.Limits(max_keepalive_connections=4, keepalive_expiry=5)


@dataclass
class Request:
    """One request and its end: a status, or how the connection broke."""

    stream: bool
    began_s: float
    took_s: float = 0.0
    status: int = 0
    fault: str = ""
    retry_after_s: int | None = None


@dataclass
class Load:
    """``clients`` in parallel, every second one with streams, each asking again a moment after its answer."""

    base_url: str
    key: str
    clients: int = 4
    model: str = "default"
    requests: list[Request] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._client, args=(number,)) for number in range(self.clients)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    @property
    def failed(self) -> list[Request]:
        return [request for request in self.requests if request.status != 200 or request.fault]

    def since(self, began_s: float) -> list[Request]:
        return [request for request in self.requests if request.began_s >= began_s]

    def _client(self, number: int) -> None:
        headers = {"Authorization": f"Bearer {self.key}"}
        with httpx.Client(
            base_url=self.base_url, headers=headers, timeout=120, trust_env=False, limits=LIMITS
        ) as client:
            while not self._stop.is_set():
                request = Request(stream=bool(number % 2), began_s=time.monotonic())
                try:
                    (self._streamed if request.stream else self._whole)(client, request, number)
                except httpx.HTTPError as error:
                    request.fault = f"{type(error).__name__}: {error}"
                request.took_s = time.monotonic() - request.began_s
                self.requests.append(request)
                self._stop.wait(PAUSE_S if request.status == 200 else BACK_OFF_S)

    def _body(self, number: int, *, stream: bool) -> dict[str, object]:
        prompt = f"Client {number} counts: 1, 2, 3,"
        return {"model": self.model, "prompt": prompt, "max_tokens": TOKENS, "ignore_eos": True, "stream": stream}

    def _whole(self, client: httpx.Client, request: Request, number: int) -> None:
        answer = client.post("/completions", json=self._body(number, stream=False))
        self._ended(request, answer)
        if answer.status_code == 200 and answer.json()["usage"]["completion_tokens"] != TOKENS:
            request.fault = f"cut short: {answer.text}"

    def _streamed(self, client: httpx.Client, request: Request, number: int) -> None:
        with client.stream("POST", "/completions", json=self._body(number, stream=True)) as answer:
            lines = [line.removeprefix("data: ") for line in answer.iter_lines() if line.startswith("data: ")]
            self._ended(request, answer)
        if answer.status_code == 200:
            whole = lines and lines[-1] == "[DONE]"
            pieces = [json.loads(line) for line in lines[:-1]] if whole else []
            if pieces and "error" in pieces[-1]:
                request.fault = f"refused within the stream: {pieces[-1]['error']['code']}"
            elif not pieces or pieces[-1]["choices"][0]["finish_reason"] != "length":
                request.fault = f"cut short after {len(lines)} pieces: {lines[-1:]}"

    @staticmethod
    def _ended(request: Request, answer: httpx.Response) -> None:
        request.status = answer.status_code
        request.retry_after_s = int(answer.headers["Retry-After"]) if "Retry-After" in answer.headers else None
