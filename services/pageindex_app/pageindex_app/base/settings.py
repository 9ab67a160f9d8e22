"""Settings, from the environment. What is wrong with them is reported when the service starts."""

from pathlib import Path
from typing import Literal

from pydantic import Field, HttpUrl, TypeAdapter, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

# A prompt is cut by its length in characters. English text has about four to a token; three is on the safe side, for
# tables and numbers.
CHARS_PER_TOKEN = 3
MIB = 1024 * 1024
CALLS_A_QUESTION = 3  # to the model, at most: choose sections, read, read the best passage again


class Settings(BaseSettings):
    """One field per environment variable of the same name in capitals."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    vllm_base_url: str = Field(description="OpenAI-compatible server, with /v1; required.")
    vllm_model: str = Field("default", min_length=1, description="Name of the model that answers.")
    vllm_api_key_file: Path = Field(
        Path("/run/pageindex-stack/vllm-key"), description="File with vLLM's key; absent means none."
    )
    answer_mode: Literal["two-step", "agent"] = Field(
        "two-step", description="`agent` needs a model that can call tools."
    )
    context_tokens: int = Field(8192, ge=1024, description="Its context window (max_model_len).")
    summary_model: str | None = Field(
        None, min_length=1, description="Name of the model that summarises; default: the one that answers."
    )
    summary_context_tokens: int | None = Field(None, ge=1024, description="Its window; default: the answering one's.")
    answer_context_tokens: int | None = Field(
        None, ge=128, description="Document text shown to the model per question; default: 1/32 of the window."
    )
    answer_max_tokens: int = Field(256, ge=16, description="Longest answer, tokens.")
    data_dir: Path = Field(Path("/data"), description="Documents and their indexes.")
    max_upload_mib: int = Field(50, ge=1, le=4096, description="Largest file or text, MiB.")
    max_pages: int = Field(2000, ge=1, le=100_000, description="Longest document, pages.")
    model_concurrency: int = Field(4, ge=1, description="Questions' calls to the model at the same time.")
    summary_concurrency: int = Field(
        4, ge=1, description="Indexing's calls to the model at the same time (twice as many while a tree is expanded)."
    )
    index_workers: int = Field(1, ge=1, description="Documents indexed at the same time, a process each.")
    index_timeout_s: int = Field(1800, ge=10, description="After this an indexing run is ended.")
    ocr_base_url: str | None = Field(None, description="OpenAI-compatible server that reads pictures; none: no OCR.")
    ocr_model: str = Field("default", min_length=1, description="Name of the OCR model there.")
    ocr_api_key_file: Path = Field(
        Path("/run/pageindex-stack/ocr-key"), description="File with the OCR server's key; absent means none."
    )
    ocr_context_tokens: int | None = Field(None, ge=1024, description="The OCR model's window, if it is a short one.")
    ocr_timeout_s: int = Field(300, ge=1, description="After this the reading of a page is given up.")
    page_image_cache_mib: int = Field(256, ge=1, description="Pictures of pages kept on the volume, MiB.")
    index_memory_mib: int = Field(3072, ge=512, description="Address space of an index worker, MiB.")
    model_timeout_s: int = Field(
        90,
        ge=5,
        le=86400,
        description="After this a call to the model is given up, retries included; a question makes up to three.",
    )
    summary_max_words: int = Field(150, ge=10, description="Longest summary of a section.")
    tree_optimize: Literal["full", "merge", "off"] | None = Field(
        None, description="PageIndex's refinement of the tree; default: `full` for agent, `merge` for two-step."
    )
    host: str = Field("0.0.0.0", description="Address to listen on.")
    port: int = Field(3000, ge=1, le=65535, description="Port to listen on.")

    @field_validator("vllm_base_url", "ocr_base_url")
    @classmethod
    def _is_a_url(cls, value: str | None) -> str | None:
        if value is None:
            return None
        TypeAdapter(HttpUrl).validate_python(value)
        return value.rstrip("/")

    @property
    def max_upload_bytes(self) -> int:
        return self.max_upload_mib * MIB

    @property
    def summary_timeout_s(self) -> int:
        """Nobody waits for a summary: it may take as long as all the calls of a question, which the gateway permits."""
        return CALLS_A_QUESTION * self.model_timeout_s

    @property
    def optimize(self) -> str:
        """How PageIndex refines the tree. Only a model that can read a page and name its parts can expand it."""
        return self.tree_optimize or ("full" if self.answer_mode == "agent" else "merge")

    @property
    def summarising(self) -> tuple[str, int]:
        """The model that summarises, and its window."""
        return self.summary_model or self.vllm_model, self.summary_context_tokens or self.context_tokens

    @property
    def context_chars(self) -> int:
        """Characters of document text in an answer's prompt: short, because small models lose the thread."""
        tokens = self.answer_context_tokens or min(max(self.context_tokens // 32, 256), 6000)
        room = self.context_tokens - self.answer_max_tokens - 256  # the rest is instructions and question
        return max(min(tokens, room), 128) * CHARS_PER_TOKEN

    @property
    def outline_chars(self) -> int:
        """Characters of outline in the prompt that chooses sections."""
        return min(self.context_tokens // 2, 8000) * CHARS_PER_TOKEN

    def api_key(self) -> str:
        """vLLM's key, read on each use so that a changed one is taken up; "none" where there is none."""
        return _key(self.vllm_api_key_file)

    def ocr_api_key(self) -> str:
        return _key(self.ocr_api_key_file)


def _key(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip() or "none"
    except FileNotFoundError:
        return "none"
