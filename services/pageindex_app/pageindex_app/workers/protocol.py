"""What the service and its worker processes say to each other: one JSON object a line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from ..base.failures import Failure


class Connection(BaseModel):
    """How the worker reaches the model, and how many calls it may make at the same time."""

    base_url: str
    model: str
    api_key: str
    timeout_s: int
    summary_concurrency: int
    summary_max_words: int
    optimize: str
    request_id: str = ""

    def index_config(self, storage: Path) -> dict[str, Any]:
        """PageIndex's ``index=`` argument."""
        return {
            "mode": "local",
            "model": f"openai/{self.model}",
            "backend": {
                "api_base": self.base_url,
                "api_key": self.api_key,
                "timeout": self.timeout_s,
                # Room for the JSON around the words. A model that does not stop by itself is stopped here.
                "max_tokens": self.summary_max_words * 2 + 50,
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


class Outcome(BaseModel):
    """What came of a job."""

    failure: Failure | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0


class Line(BaseModel):
    """What a worker writes: reports, then one outcome."""

    report: Report | None = None
    outcome: Outcome | None = None
