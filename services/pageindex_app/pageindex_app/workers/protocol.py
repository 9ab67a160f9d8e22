"""What the service and its worker processes say to each other: one JSON object a line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from ..base.failures import Failure
from ..base.settings import CHARS_PER_TOKEN

CHAT_TEMPLATE_TOKENS = 64  # what a server's chat template writes around a prompt


class Connection(BaseModel):
    """How the worker reaches the model, and how many calls it may make at the same time."""

    base_url: str
    model: str
    context_tokens: int
    api_key: str
    timeout_s: int
    summary_concurrency: int
    summary_max_words: int
    optimize: str
    request_id: str = ""

    @property
    def reply_tokens(self) -> int:
        """Room for a summary and the JSON around its words. A model that does not stop by itself is stopped here."""
        return self.summary_max_words * 2 + 50

    @property
    def prompt_chars(self) -> int:
        """Characters of the longest prompt that fits the model's window beside its reply."""
        return max(self.context_tokens - self.reply_tokens - CHAT_TEMPLATE_TOKENS, 256) * CHARS_PER_TOKEN

    def index_config(self, storage: Path) -> dict[str, Any]:
        """PageIndex's ``index=`` argument."""
        return {
            "mode": "local",
            "model": f"openai/{self.model}",
            "backend": {
                "api_base": self.base_url,
                "api_key": self.api_key,
                "timeout": self.timeout_s,
                "max_tokens": self.reply_tokens,
                "extra_headers": {"X-Request-Id": self.request_id},
            },
            "storage_path": str(storage),
            "summary_concurrency": self.summary_concurrency,
            "summary_max_words": self.summary_max_words,
            "optimize": self.optimize,
        }


class OcrConnection(BaseModel):
    """An OpenAI-compatible server that reads pictures of pages."""

    base_url: str
    model: str
    api_key: str
    context_tokens: int | None
    timeout_s: int
    concurrency: int


class IndexJob(BaseModel):
    """One file to be indexed into PageIndex's store."""

    task: Literal["index"] = "index"
    file: Path
    kind: str
    metadata: dict[str, Any]
    storage: Path
    scratch: Path
    max_pages: int
    connection: Connection
    ocr: OcrConnection | None = None


class RenderJob(BaseModel):
    """One page to be drawn as a PNG."""

    task: Literal["render"] = "render"
    file: Path
    page: int
    width: int
    target: Path


class Report(BaseModel):
    """How far a worker is; ``done`` of ``total`` in this stage."""

    stage: str
    done: int = 0
    total: int = 0


Reporter = Callable[[Report], None]


class Tokens(BaseModel):
    """What calls to a model cost, as its server counts."""

    prompt: int = 0
    completion: int = 0

    def add(self, usage: Any) -> None:
        """Add a reply's usage; a server may leave it out."""
        self.prompt += getattr(usage, "prompt_tokens", 0) or 0
        self.completion += getattr(usage, "completion_tokens", 0) or 0


class Outcome(BaseModel):
    """What came of a job, and what it cost: ``index`` of the model that summarises, ``scans`` of the one that reads."""

    failure: Failure | None = None
    index: Tokens = Tokens()
    scans: Tokens = Tokens()


class Line(BaseModel):
    """What a worker writes: reports, then one outcome."""

    report: Report | None = None
    outcome: Outcome | None = None
