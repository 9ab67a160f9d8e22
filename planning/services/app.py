"""The app: the official pageindex library behind an HTTP API and a web page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from planning.hosts.names import FILES_PATH, STABLE_ALIAS
from planning.rules.modes import AnswerMode
from planning.rules.scans import OcrServer
from planning.services.service import FILES_VOLUME, Health, Scratch, Service, Volume
from planning.settings.areas import PageIndexSettings

PORT = 3000  # inside the network; the gateway publishes it
ALIAS = "pageindex"
STARTUP_S = 120
STOP_GRACE_S = 30
DATA_PATH = "/data"
DOCUMENTS_VOLUME = "documents"
VLLM_KEY_FILE, OCR_KEY_FILE = "vllm-key", "ocr-key"
# Alive, not ready: a missing model must not make Docker call the app unhealthy. The slim image has no curl.
PROBE = f"import urllib.request; urllib.request.urlopen('http://127.0.0.1:{PORT}/health', timeout=4)"


@dataclass(frozen=True)
class AskedModel:
    """A model that the app asks, by one of its names, and its window."""

    name: str
    context_tokens: int


@dataclass(frozen=True, kw_only=True)
class AskedModels:
    """Who does what. ``scans`` is None where no model of this stack reads them."""

    answer: AskedModel
    summary: AskedModel
    scans: AskedModel | None = None
    expands_trees: bool = True
    """Whether the one that summarises is also able to split long sections, which the agent's trees want."""

    @staticmethod
    def of_one(context_tokens: int, *, sees: bool = False) -> AskedModels:
        """One model for everything."""
        asked = AskedModel(STABLE_ALIAS, context_tokens)
        return AskedModels(answer=asked, summary=asked, scans=asked if sees else None)


def app_service(
    settings: PageIndexSettings,
    *,
    answer: AnswerMode,
    llm_base_url: str,
    models: AskedModels,
    ocr: OcrServer | None,
    has_ocr_key: bool,
) -> Service:
    """Answers from documents, which lie in a volume of its own."""
    environment = {
        "VLLM_BASE_URL": llm_base_url,
        "VLLM_MODEL": models.answer.name,
        "VLLM_API_KEY_FILE": f"{FILES_PATH}/{VLLM_KEY_FILE}",
        "ANSWER_MODE": answer,
        "MAX_UPLOAD_MIB": str(settings.max_upload_mib),
        "MAX_PAGES": str(settings.max_pages),
        "CONTEXT_TOKENS": str(models.answer.context_tokens),
        "SUMMARY_MODEL": models.summary.name,
        "SUMMARY_CONTEXT_TOKENS": str(models.summary.context_tokens),
        "DATA_DIR": DATA_PATH,
        "MODEL_TIMEOUT_S": str(settings.model_timeout_s),
        "INDEX_MEMORY_MIB": str(index_memory_mib(settings.memory_gib)),
    }
    if answer == "agent" and not models.expands_trees:
        environment["TREE_OPTIMIZE"] = "merge"
    if ocr:
        environment |= {"OCR_BASE_URL": ocr.base_url, "OCR_MODEL": ocr.model}
    elif models.scans:
        environment |= {
            "OCR_BASE_URL": llm_base_url,
            "OCR_MODEL": models.scans.name,
            "OCR_API_KEY_FILE": f"{FILES_PATH}/{VLLM_KEY_FILE}",
            "OCR_CONTEXT_TOKENS": str(models.scans.context_tokens),
        }
    other_stack: tuple[Literal["other-stack"], ...] = ("other-stack",) if ocr and ocr.network else ()
    return Service(
        component="app",
        user="10001:0",
        networks=("internal", *other_stack),
        alias=ALIAS,
        environment=environment,
        secret_files=frozenset({VLLM_KEY_FILE, OCR_KEY_FILE} if has_ocr_key else {VLLM_KEY_FILE}),
        volumes=(
            Volume(name=DOCUMENTS_VOLUME, path=DATA_PATH),
            Volume(name=FILES_VOLUME, path=FILES_PATH, read_only=True),
        ),
        scratch=(Scratch(path="/tmp"),),  # noqa: S108 (of the container)
        memory_mib=int(settings.memory_gib * 1024),
        health=Health(command=("python3", "-c", PROBE), startup_s=STARTUP_S),
        stop_grace_s=STOP_GRACE_S,
        reached_by=("gateway",),
        needs=other_stack,
        identity=(environment, settings.model_dump()),
    )


def index_memory_mib(memory_gib: float) -> int:
    """Address space of the index worker: the container's memory without the service's own part, so that a file that
    wants too much ends its worker and not the container. Below a GiB PageIndex's libraries do not load."""
    return max(1024, int(memory_gib * 1024 * 0.75))
