"""The client of the model's server, for questions."""

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import openai
from openai.types import CompletionUsage

from ..base.errors import AppError, model_unavailable
from ..base.metrics import Metrics
from ..base.settings import Settings
from .request_context import add_tokens, model_headers

_READY_TIMEOUT_S = 3.0
_THOUGHTS = re.compile(r"<think>.*?(?:</think>|$)", re.DOTALL)


class PromptTooLong(Exception):
    """The prompt does not fit the model's window."""


class ModelClient:
    """Bounds the calls at the same time; openai's client repeats them with back-off after 429 and 5xx."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._slots = asyncio.Semaphore(settings.model_concurrency)
        self._client = openai.AsyncOpenAI(
            base_url=settings.vllm_base_url,
            api_key=settings.api_key(),
            timeout=httpx.Timeout(settings.model_timeout_s, connect=5.0),
            max_retries=3,  # with back-off, or as long as Retry-After says; the time limit below ends it
        )

    async def close(self) -> None:
        await self._client.close()

    async def unavailable(self, name: str | None = None) -> str | None:
        """Why the model that answers, or the one of this name, cannot be used now; None if it can."""
        name = name or self._settings.vllm_model
        try:
            client = self._client.with_options(
                api_key=self._settings.api_key(), timeout=_READY_TIMEOUT_S, max_retries=0
            )
            served = [model.id for model in (await client.models.list()).data]
        except openai.APIStatusError as error:
            return _status_reason(error)
        except openai.APIError:
            return "it does not answer"
        except (ValueError, httpx.HTTPError):
            return "what answers is no model server"
        if name not in served:
            return f"it serves no model named {name}"
        return None

    async def choose(self, prompt: str, labels: list[str], most: int) -> list[str]:
        """Up to ``most`` of ``labels``: vLLM's structured output cannot return anything else."""
        schema = {
            "type": "object",
            "properties": {
                "sections": {
                    "type": "array",
                    "items": {"type": "string", "enum": labels},
                    "minItems": 1,
                    "maxItems": most,
                }
            },
            "required": ["sections"],
            "additionalProperties": False,
        }
        reply = await self._chat(
            [{"role": "user", "content": prompt}],
            max_tokens=16 * most + 32,
            response_format={
                "type": "json_schema",
                "json_schema": {"name": "choice", "schema": schema, "strict": True},
            },
        )
        try:
            chosen = json.loads(reply)["sections"]
        except (ValueError, KeyError, TypeError):
            return []  # cut off in the middle, or a server that ignores the schema
        allowed = set(labels)
        return list(dict.fromkeys(label for label in chosen if label in allowed))[:most]

    async def answer(self, messages: list[dict[str, str]], stop: list[str]) -> AsyncGenerator[str, None]:
        """The answer's pieces as the model writes them; closing the iterator ends the model's work."""
        text, shown = "", 0
        with self._explained():
            async with self._slots:
                until = asyncio.get_running_loop().time() + self._settings.model_timeout_s
                async with asyncio.timeout_at(until):
                    stream = await self._create(
                        messages,
                        max_tokens=self._settings.answer_max_tokens,
                        stop=stop,
                        stream=True,
                        stream_options={"include_usage": True},
                    )
                async with stream:
                    while True:
                        # Not around the yield: there it would end whoever reads these pieces.
                        async with asyncio.timeout_at(until):
                            chunk = await anext(stream, None)
                        if chunk is None:
                            return
                        self._count_usage(chunk.usage)
                        text += (chunk.choices[0].delta.content or "") if chunk.choices else ""
                        visible = _THOUGHTS.sub("", text).lstrip()
                        if len(visible) > shown:
                            yield visible[shown:]
                            shown = len(visible)

    async def _chat(self, messages: list[dict[str, str]], **options: Any) -> str:
        with self._explained():
            async with self._slots, asyncio.timeout(self._settings.model_timeout_s):
                reply = await self._create(messages, **options)
        self._count_usage(reply.usage)
        text = reply.choices[0].message.content or "" if reply.choices else ""
        return _THOUGHTS.sub("", text).strip()

    def count(self, prompt_tokens: int, completion_tokens: int) -> None:
        """What a call cost, for the request it was made for and for the metrics."""
        add_tokens(prompt_tokens, completion_tokens)
        self._metrics.tokens("ask", self._settings.vllm_model, prompt_tokens, completion_tokens)

    def _count_usage(self, usage: CompletionUsage | None) -> None:
        if usage is not None:
            self.count(usage.prompt_tokens, usage.completion_tokens)

    async def _create(self, messages: list[dict[str, str]], **options: Any) -> Any:
        client = self._client.with_options(api_key=self._settings.api_key())
        return await client.chat.completions.create(
            model=self._settings.vllm_model,
            messages=messages,  # type: ignore[arg-type]
            temperature=0.0,
            extra_headers=model_headers(),
            # A reasoning model need not reason to copy a fact; others ignore the field.
            extra_body={"chat_template_kwargs": {"enable_thinking": False}},
            **options,
        )

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turns the client's exceptions into the app's."""
        try:
            yield
        except openai.BadRequestError as error:
            if "context length" in str(error) or "too long" in str(error) or "max_tokens" in str(error):
                raise PromptTooLong from error
            raise AppError(
                502, "model_refused", "The language model refused the request.", "See the log of the model's server."
            ) from error
        except openai.APIStatusError as error:
            raise model_unavailable(_status_reason(error)) from error
        except (openai.APITimeoutError, TimeoutError) as error:
            raise model_unavailable(f"it took longer than {self._settings.model_timeout_s} s") from error
        except openai.APIError as error:
            raise model_unavailable("it does not answer") from error
        except httpx.HTTPError as error:  # the client does not translate them in the middle of a stream
            raise model_unavailable("it broke off in the middle") from error


def _status_reason(error: openai.APIStatusError) -> str:
    if error.status_code in (401, 403):
        return "it does not accept this service's key"
    if error.status_code == 404:
        return "it does not know the model"
    if error.status_code == 429:
        return "it has too much to do"
    return f"it answered {error.status_code}"
