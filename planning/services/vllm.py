"""vLLM: one replica of the model server."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from planning.hosts.names import FILES_PATH, STABLE_ALIAS, weights_directory
from planning.memory.placement import Replica
from planning.services.compile_caches import CACHES
from planning.services.service import FILES_VOLUME, Health, LogLimits, Scratch, Service, Volume, stable_hash
from planning.services.vllm_command import vllm_command, vllm_environment
from planning.settings.model import InlineModel, Task
from planning.settings.vllm import VllmSettings

STOP_MARGIN_S = 10  # the engine kills this much after vLLM's own deadline for running requests
MODELS_PATH = "/models"
MODELS_VOLUME = "models"
CONFIG_FILE, AUTH_HEADER_FILE, PROBE_FILE = "vllm.yaml", "auth-header", "probe.sh"
USER_ID = 2000  # the user that vLLM's images are prepared for
HEALTH_TIMEOUT_S = 30
_PROBE = Path(__file__).resolve().parents[2] / "services" / "vllm" / PROBE_FILE
# Path, body and what the answer has in it, for a first sign that a model works.
_CHAT = ("/v1/completions", '"prompt": "1, 2,", "max_tokens": 1', '"completion_tokens": *1')
_ASKED: Mapping[Task, tuple[str, str, str]] = {
    "chat": _CHAT,
    "vision": _CHAT,
    "embedding": ("/v1/embeddings", '"input": "1"', '"embedding": *\\[ *-*[0-9]'),
    "rerank": ("/v1/rerank", '"query": "1", "documents": ["1"]', '"relevance_score": *-*[0-9]'),
}


def model_path(repo: str, revision: str) -> str:
    """Where a container that mounts the weights finds a model."""
    return f"{MODELS_PATH}/{weights_directory(repo, revision)}"


def probe(name: str, task: Task) -> str:
    """The script of the health check, which asks a model by one of its names."""
    path, wish, sign = _ASKED[task]
    slots = {"body": f'{{"model": "{name}", {wish}}}', "path": path, "sign": sign}
    return re.sub(r"\{\{(\w+)\}\}", lambda slot: slots[slot[1]], _PROBE.read_text(encoding="utf-8"))


def vllm_service(
    settings: VllmSettings,
    *,
    image: str,
    model: InlineModel,
    model_path: str,
    weights: Volume,
    replica: Replica,
    names: Sequence[str] = (),
) -> Service:
    """Serves one model on the internal network. ``weights`` is the volume in which ``model_path`` lies."""
    command = vllm_command(model, settings, model_path, f"{FILES_PATH}/{CONFIG_FILE}", names)
    environment = vllm_environment(settings)
    grace_s = settings.shutdown_timeout_s + STOP_MARGIN_S
    return Service(
        component="vllm",
        user=f"{USER_ID}:0",
        networks=("internal",),
        command=tuple(command),
        environment=environment,
        files={PROBE_FILE: probe(names[0] if names else STABLE_ALIAS, model.task)},
        secret_files=frozenset({CONFIG_FILE, AUTH_HEADER_FILE}),
        volumes=(weights, Volume(name=FILES_VOLUME, path=FILES_PATH, read_only=True), CACHES),
        scratch=(
            Scratch(path="/tmp", executable=True),  # noqa: S108 (of the container)
            Scratch(path="/home/vllm", executable=True, owner=USER_ID),
        ),
        memory_mib=int(settings.memory_gib * 1024) if settings.memory_gib else None,
        shared_memory_mib=int(settings.shm_gib * 1024),
        health=Health(
            command=("sh", f"{FILES_PATH}/{PROBE_FILE}"),
            startup_s=settings.startup_timeout_s,
            timeout_s=HEALTH_TIMEOUT_S,
        ),
        stop_grace_s=grace_s,
        restart=settings.restart,
        logs=LogLimits(max_mib=settings.log_max_mib, max_files=settings.log_max_files),
        cards=replica.cards,
        reached_by=("gateway", "gateway-metrics"),
        needs=("verified-weights",),
        identity=(stable_hash(image, command, environment, settings.replica_settings()), replica.cards),
    )
