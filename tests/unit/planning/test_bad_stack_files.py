"""Bad stack files: each is refused with the key at fault, and its mending line, once applied, makes it pass."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from planning.plan import plan_stack
from planning.settings.errors import BadStackFile, ConfigError
from tests.unit.planning.mending import apply

CPU: dict[str, Any] = {
    "model": "smollm2-135m-instruct",
    "vllm": {"image": "vllm-cpu", "device": "cpu", "max_model_len": 8192},
}
CARDS: dict[str, Any] = {
    "model": "qwen3-32b-awq",
    "host": {"gpus": {"name": "NVIDIA GeForce RTX 5090", "count": 2}},
    "vllm": {"tensor_parallel_size": 2, "max_model_len": 32768, "max_num_seqs": 256, "gpu_memory_utilization": 0.8},
}
NVIDIA_IMAGE = "nvcr.io/nvidia/vllm:26.10-py3"
KEY = "k" * 40
INLINE = {"repo": "a/b", "revision": "0" * 40, "context_limit": 8192}
SHAPE = {
    "layers": 2, "hidden_size": 64, "intermediate_size": 128, "heads": 2, "kv_heads": 2, "head_size": 32,
    "vocab_size": 1000,
}  # fmt: skip


def gpus(name: str, count: int = 1, **more: Any) -> dict[str, Any]:
    return {"host": {"gpus": {"name": f"NVIDIA {name}", "count": count, **more}}}


def vllm(**settings: Any) -> dict[str, Any]:
    return {"vllm": settings}


def one_card(model: str, card: str = "GeForce RTX 4090", **settings: Any) -> dict[str, Any]:
    """A file of its own: replaces the areas of CARDS."""
    alone = {"tensor_parallel_size": 1, "gpu_memory_utilization": 0.9, "max_num_seqs": 16, "max_model_len": 8192}
    return {"model": model, **gpus(card), "vllm": {**alone, **settings}}


# the key at fault, the file it stands in, what it says there; then a word that the reason must have
ON_CPU = [
    ("model", {"model": 5}, "string"),
    ("model", {"model": "gpt-17"}, "catalog"),
    ("model", {"model": None}, "string"),
    ("model", {"model": "/no/such/directory"}, "cannot be read"),
    ("model.revision", {"model": {**INLINE, "revision": "main"}}, "pattern"),
    ("model.repo", {"model": {**INLINE, "repo": "no-owner"}}, "pattern"),
    ("model.context_limit", {"model": {"repo": "a/b", "revision": "0" * 40}}, "required"),
    ("model.layers", {"model": {**INLINE, "layers": 3}}, "unknown key"),
    ("model.architecture.heads", {"model": {**INLINE, "architecture": {**SHAPE, "heads": 0}}}, "greater"),
    ("model.quantization.method", {"model": {**INLINE, "quantization": {"method": "zip"}}}, "awq"),
    ("model_cache.revision", {"model": {**INLINE, "revision": "unpinned"}}, "no public source"),
    ("model_cache.revision", {"model_cache": {"revision": "main"}}, "can move"),
    ("model_cache.revision", {"model_cache": {"revision": "0" * 40, "local_path": "/srv/m"}}, "no revision"),
    (
        "model_cache.keep_previous",
        {"model_cache": {"keep_previous": False, "local_path": "/srv/m"}},
        "nothing there is ever removed",
    ),
    ("model_cache.local_path", {"model_cache": {"local_path": "models/mine"}}, "pattern"),
    ("model_cache.endpoint", {"model_cache": {"endpoint": "ftp://hub"}}, "pattern"),
    ("model_cache.download_timeout_s", {"model_cache": {"download_timeout_s": 5}}, "greater"),
    ("hf_token", {"model": {**INLINE, "gated": True}}, "token"),
    ("host.docker", {"host": {"docker": "tcp://10.0.0.5:2375"}}, "pattern"),
    ("host.docker", {"host": {"docker": "ssh://a b@c"}}, "pattern"),
    ("vllm.image", vllm(image="vllm-cuba"), "images.compose.yaml"),
    ("vllm.image", vllm(image="vllm/vllm-openai-cpu:latest"), "latest"),
    ("vllm.image", vllm(image="vllm/vllm-openai-cpu"), "pinned"),
    ("vllm.image", vllm(image="vllm-cuda"), "is for device cuda"),
    ("vllm.image", vllm(image="vllm/vllm-openai-cpu:v0.29.0-x86_64"), "PYSEC-2026-4344"),
    ("vllm.image", vllm(image="registry.example.com/llm-cpu:mine"), "names no vLLM version"),
    ("vllm.device", vllm(device="tpu"), "cuda"),
    ("vllm.max_model_len", vllm(max_model_len=-1), "greater"),
    ("vllm.max_model_len", vllm(max_model_len="8k"), "integer"),
    ("vllm.max_model_len", vllm(max_model_len=9000), "at most 8192"),
    ("vllm.max_num_seqs", vllm(max_num_seqs=0), "greater"),
    ("vllm.max_num_seqs", vllm(max_num_seqs=5000), "less"),
    ("vllm.gpu_memory_utilization", vllm(gpu_memory_utilization=1.5), "less"),
    ("vllm.gpu_memory_utilization", vllm(gpu_memory_utilization="0.9"), "number"),
    ("vllm.cpu_kv_cache_gib", vllm(cpu_kv_cache_gib=0), "greater"),
    ("vllm.cpu_kv_cache_gib", {"model": {**INLINE, "context_limit": 99999999, "architecture": SHAPE},
                               **vllm(max_model_len=9999999, cpu_kv_cache_gib=1)}, "less than one request"),
    ("vllm.memory_gib", vllm(memory_gib=3.0), "needs 5.3 GiB"),
    ("vllm.memory_gib", vllm(memory_gib=0.5), "greater"),
    ("vllm.shm_gib", vllm(shm_gib=-2.0), "greater"),
    ("vllm.shm_gib", vllm(shm_gib=float("inf")), "finite"),
    ("vllm.shm_gib", vllm(shm_gib=16.0, memory_gib=8.0), "counts towards"),
    ("vllm.enforce_eager", vllm(enforce_eager="yes"), "boolean"),
    ("vllm.startup_timeout_s", vllm(startup_timeout_s=5), "greater"),
    ("vllm.shutdown_timeout_s", vllm(shutdown_timeout_s=9999), "less"),
    ("vllm.drain_timeout_s", vllm(drain_timeout_s=-1), "greater"),
    ("vllm.rollout", vllm(rollout="canary"), "blue-green"),
    ("vllm.rollout", vllm(rollout="rolling"), "second replica"),
    ("vllm.max_queued_requests", vllm(max_queued_requests=0), "greater"),
    ("vllm.tensor_parallel_size", vllm(tensor_parallel_size=2), "no cards"),
    ("vllm.pipeline_parallel_size", vllm(pipeline_parallel_size=2), "no cards"),
    ("vllm.kv_cache_dtype", vllm(kv_cache_dtype="fp8"), "no kernels"),
    ("vllm.cpu_offload_gib", vllm(cpu_offload_gib=2.0), "host memory"),
    ("vllm.images_per_prompt", vllm(images_per_prompt=1), "reads no images"),
    ("vllm.flash", vllm(flash=True), "unknown key"),
    ("vllm.serve_command", vllm(serve_command=["vllm", "serve"]), "already"),
    ("vllm.ipc", vllm(ipc="world"), "private"),
    ("vllm.restart", vllm(restart="sometimes"), "unless-stopped"),
    ("vllm.ulimits.memlock", vllm(ulimits={"memlock": -2}), "greater"),
    ("vllm.log_max_mib", vllm(log_max_mib=0), "greater"),
    ("vllm.log_max_files", vllm(log_max_files="5"), "integer"),
    ("vllm.nccl.p2p", vllm(nccl={"p2p": "no"}), "boolean"),
    ("vllm.nccl.rings", vllm(nccl={"rings": 2}), "unknown key"),
    ("vllm.extra_flags.max-model-len", vllm(extra_flags={"max-model-len": 4096}), "contradicts vllm.max_model_len"),
    ("vllm.extra_flags.no-enforce-eager", vllm(extra_flags={"no-enforce-eager": True}), "contradicts"),
    ("vllm.extra_flags.trust-remote-code", vllm(extra_flags={"trust-remote-code": True}), "runs code"),
    ("vllm.extra_flags.disable-log-requests", vllm(extra_flags={"disable-log-requests": True}), "vLLM has no"),
    ("vllm.extra_flags.--seed", vllm(extra_flags={"--seed": 1}), "pattern"),
    ("vllm.extra_flags.seed", vllm(extra_flags={"seed": [1]}), "string"),
    ("vllm.extra_env.VLLM_TENSOR_PARALLEL_SIZE", vllm(extra_env={"VLLM_TENSOR_PARALLEL_SIZE": "2"}), "reads no such"),
    ("vllm.extra_env.VLLM_SERVER_DEV_MODE", vllm(extra_env={"VLLM_SERVER_DEV_MODE": "1"}), "opens routes"),
    ("vllm.extra_env.TRITON_CACHE_DIR", vllm(extra_env={"TRITON_CACHE_DIR": "/tmp"}), "contradicts vllm"),
    ("vllm.extra_env.NCCL_DEBUG", vllm(extra_env={"NCCL_DEBUG": "INFO"}), "contradicts vllm.nccl.debug"),
    ("vllm.extra_env.HF_HUB_OFFLINE", vllm(extra_env={"HF_HUB_OFFLINE": "0"}), "must not reach"),
    ("vllm.extra_env.OMP_NUM_THREADS", vllm(extra_env={"OMP_NUM_THREADS": 4}), "string"),
    ("vllm.extra_env.a-b", vllm(extra_env={"a-b": "1"}), "pattern"),
    ("gateway.api_port", {"gateway": {"api_port": 0}}, "greater"),
    ("gateway.api_port", {"gateway": {"api_port": 65536}}, "less"),
    ("gateway.app_port", {"gateway": {"app_port": "http"}}, "integer"),
    ("gateway.app_port", {"gateway": {"app_port": 8000}}, "differ"),
    ("gateway.tls", {"gateway": {"bind": "10.0.0.5"}}, "in clear"),
    ("gateway.tls", {"gateway": {"tls": "on"}}, "self-signed"),
    ("gateway.tls.key", {"gateway": {"tls": {"certificate": "-----BEGIN C-----", "key": "/dev/null"}}}, "can be read"),
    ("tls_key", {"gateway": {"tls": {"certificate": "-----BEGIN CERTIFICATE-----"}}}, "no key for it"),
    ("gateway.server_names", {"gateway": {"bind": "0.0.0.0", "tls": "off"}}, "by which names"),
    ("gateway.key_expires.al", {"gateway": {"key_expires": {"al": "31.12.2027"}}}, "pattern"),
    ("gateway.key_expires.al", {"gateway": {"key_expires": {"al": "2027-02-30"}}}, "date"),
    ("gateway.key_expires.bob@old", {"gateway": {"key_expires": {"bob@old": "2027-02-28"}}}, "no key of this name"),
    ("gateway.clients.al.expires", {"gateway": {"clients": {"al": {"expires": "2027-02-30"}}}}, "date"),
    ("gateway.clients.al.allowed_paths.0", {"gateway": {"clients": {"al": {"allowed_paths": ["v1"]}}}}, "pattern"),
    ("gateway.bind", {"gateway": {"bind": "localhost"}}, "IPv4"),
    ("gateway.server_names.0", {"gateway": {"server_names": ["a b"]}}, "pattern"),
    ("gateway.max_body_mib", {"gateway": {"max_body_mib": -50}}, "greater"),
    ("gateway.timeout_s", {"gateway": {"timeout_s": 1}}, "greater"),
    ("gateway.clients.Al", {"gateway": {"clients": {"Al": {}}}}, "pattern"),
    ("gateway.clients.a.b", {"gateway": {"clients": {"a.b": {}}}}, "pattern"),
    ("gateway.clients.al.requests_per_minute",
     {"gateway": {"clients": {"al": {"requests_per_minute": 0}}}}, "greater"),
    ("api_keys.bob", {"gateway": {"clients": {"bob": {}}}}, "no key"),
    ("pageindex.answer", {"pageindex": {"answer": "magic"}}, "agent"),
    ("pageindex.answer", {"pageindex": {"answer": "agent"}}, "tool_call_parser"),
    ("pageindex.max_upload_mib", {"pageindex": {"max_upload_mib": 80}}, "(50)"),
    ("pageindex.max_pages", {"pageindex": {"max_pages": 0}}, "greater"),
    ("pageindex.model_timeout_s", {"pageindex": {"model_timeout_s": 200}}, "300 s"),
    ("pageindex.ocr.base_url", {"pageindex": {"ocr": {"base_url": "ocr:8000"}}}, "pattern"),
    ("pageindex.ocr", {"pageindex": {"ocr": {"model": "default"}}}, "neither"),
    ("pageindex.ocr.stack", {"pageindex": {"ocr": {"stack": "s"}}}, "itself"),
    ("pageindex.ocr.stack", {"pageindex": {"ocr": {"stack": "a/b"}}}, "no name"),
    ("ocr_key", {"pageindex": {"ocr": {"stack": "ocr"}}}, "wants the key"),
    ("pageindex.memory_gib", {"pageindex": {"memory_gib": 0.1}}, "greater"),
    ("waivers.vllm", {"waivers": {"vllm": "we like old versions"}}, "nothing needs a waiver"),
    ("waivers.unpinned-model", {"waivers": {"unpinned-model": "we like surprises"}}, "nothing needs a waiver"),
    ("waivers.tests", {"waivers": {"tests": "we have no time for them"}}, "unpinned-model"),
    ("waivers.vllm", {**vllm(image="vllm/vllm-openai-cpu:v0.31.0-x86_64"), "waivers": {"vllm": "because"}}, "at least"),
    ("modell", {"modell": "x"}, "unknown key"),
]  # fmt: skip
ON_CARDS = [
    ("vllm", {"vllm": "fast"}, "dictionary"),
    ("host.gpus.name", {**one_card("qwen3-8b"), "host": {}}, "needs to know the cards"),
    ("host.gpus.name", {**one_card("qwen3-8b"), "host": {"gpus": {"count": 2}}}, "required"),
    ("pageindex.answer", {"vllm": {"max_model_len": 16384}, "pageindex": {"answer": "agent"}}, "32768"),
    ("host.gpus.name", gpus("Voodoo 2", 2, memory_mib=40000), "no such card"),
    ("host.gpus.count", {**one_card("qwen3-8b"), **gpus("GeForce RTX 4090", 0)}, "greater"),
    ("host.gpus.memory_mib", gpus("GeForce RTX 5090", 2, memory_mib=32), "greater"),
    ("host.gpus.compute_capability", gpus("GeForce RTX 5090", 2, compute_capability=99.0), "less"),
    ("host.gpus.reserved_gib", gpus("GeForce RTX 5090", 2, reserved_gib=-1.0), "greater"),
    ("host.gpus.speed", gpus("GeForce RTX 5090", 2, speed=1), "unknown key"),
    ("vllm.image", vllm(image="vllm-cpu"), "is for device cpu"),
    ("vllm.image", vllm(image=NVIDIA_IMAGE, serve_command=["vllm", "serve"]), "below 0.32.0"),
    ("vllm.serve_command", {**vllm(image=NVIDIA_IMAGE), "waivers": {"vllm": "the only image"}}, "does not start vLLM"),
    ("vllm.tensor_parallel_size", vllm(tensor_parallel_size=3), "attention heads"),
    ("vllm.tensor_parallel_size", vllm(tensor_parallel_size=4), "host.gpus.count is 2"),
    ("vllm.tensor_parallel_size",
     {"model": "qwen3-30b-a3b-awq", **gpus("GeForce RTX 4090", 4), **vllm(tensor_parallel_size=4)}, "whole groups"),
    ("vllm.pipeline_parallel_size", vllm(tensor_parallel_size=1, pipeline_parallel_size=4), "host.gpus.count is 2"),
    ("vllm.replicas", vllm(replicas=0), "greater"),
    ("vllm.replicas", vllm(replicas=2), "host.gpus.count is 2"),
    ("vllm.placement", vllm(placement=[[0, 0]]), "2 times"),
    ("vllm.placement", vllm(placement=[[0, 2]]), "no card 2"),
    ("vllm.placement", vllm(placement=[[0]]), "has 1 cards"),
    ("vllm.placement", vllm(placement=[[0, 1], [2, 3]]), "for 2 replicas"),
    ("vllm.placement.0.1", vllm(placement=[[0, -1]]), "greater"),
    ("vllm.kv_cache_dtype", vllm(kv_cache_dtype="int3"), "fp8"),
    ("vllm.kv_cache_dtype", one_card("qwen3-8b", "GeForce RTX 3090", kv_cache_dtype="fp8"), "below 8.9"),
    ("vllm.dtype", vllm(dtype="fp8"), "bfloat16"),
    ("vllm.dtype", vllm(dtype="float32"), "16 bits"),
    ("vllm.quantization", one_card("qwen3-8b", "GeForce RTX 5090", quantization="awq"), "not quantized"),
    ("vllm.quantization", vllm(quantization="compressed-tensors"), "are awq"),
    ("vllm.quantization", vllm(quantization="brotli"), "awq"),
    ("vllm.max_num_batched_tokens", vllm(max_num_batched_tokens=128), "max_num_seqs"),
    ("vllm.max_num_batched_tokens", vllm(max_num_batched_tokens=0), "greater"),
    ("vllm.cpu_offload_gib", vllm(cpu_offload_gib=-1.0), "greater"),
    ("vllm.gpu_memory_utilization", vllm(gpu_memory_utilization=0.98), "asks for"),
    ("vllm.rollout", vllm(rollout="blue-green"), "side by side"),
    ("vllm.gpu_memory_utilization", gpus("GeForce RTX 5090", 2, reserved_gib=8.0), "asks for"),
    ("vllm.max_model_len", vllm(max_model_len=50000), "at most 40960"),
    ("vllm.max_model_len", one_card("qwen3-8b", "GeForce RTX 3090", max_model_len=40960), "would fit"),
    ("vllm.max_model_len", one_card("phi-3.5-mini-instruct", max_model_len=131072), "would fit"),
    ("model", one_card("qwen3-32b-awq", "GeForce RTX 5080"), "would fit"),
    ("model", vllm(gpu_memory_utilization=0.3), "would fit"),
    ("model_cache.revision", one_card("nanonets-ocr2-3b"), "no public source"),
]  # fmt: skip
FILES = [(CPU, *row) for row in ON_CPU] + [(CARDS, *row) for row in ON_CARDS]


def merged(base: dict[str, Any], content: dict[str, Any]) -> dict[str, Any]:
    """Areas that both have are joined for ``vllm``; otherwise the content's stand."""
    file = {**copy.deepcopy(base), **copy.deepcopy(content)}
    if isinstance(content.get("vllm"), dict):
        file["vllm"] = {**base["vllm"], **content["vllm"]}
    return {key: value for key, value in file.items() if value is not None or key == "model"}


def faults(settings: dict[str, Any], secrets: dict[str, Any], clear: tuple[str, ...] = ()) -> list[ConfigError]:
    with pytest.raises(BadStackFile) as raised:
        plan_stack("s", settings, secrets, clear)
    return list(raised.value.errors)


@pytest.mark.parametrize(("base", "key", "content", "reason"), FILES, ids=lambda value: str(value)[:60])
def test_a_bad_file_is_refused_by_key_and_its_mending_line_makes_it_pass(
    base: dict[str, Any], key: str, content: dict[str, Any], reason: str
) -> None:
    settings, secrets = merged(base, content), {"api_keys": {"al": KEY}}
    found = faults(settings, secrets)
    assert [problem.key for problem in found] == [key], [str(problem) for problem in found]
    assert reason in found[0].reason
    plan_stack("s", *apply(found[0].mend, settings, secrets))


def test_there_are_more_than_sixty_of_them() -> None:
    assert len(FILES) >= 60


@pytest.mark.parametrize("key", ["short", "with space " * 4, "ü" * 40, "x" * 300])
def test_a_bad_key_is_refused_and_replaced_by_a_random_one(key: str) -> None:
    found = faults(CPU, {"api_keys": {"al": key}})
    assert [problem.key for problem in found] == ["api_keys.al"]
    assert key not in str(found[0])
    plan_stack("s", *apply(found[0].mend, CPU, {"api_keys": {"al": key}}))


@pytest.mark.parametrize("file", [{"api_key": KEY}, vllm(hf_token=KEY), vllm(extra_flags={"api-key": KEY})])
def test_a_secret_under_a_wrong_key_is_not_repeated(file: dict[str, Any]) -> None:
    found = faults(merged(CPU, file), {})
    assert len(found) == 1
    assert KEY not in str(found[0])


def test_a_bad_token_is_refused_and_asked_for() -> None:
    found = faults(CPU, {"hf_token": "no good"})
    assert [problem.key for problem in found] == ["hf_token"]
    plan_stack("s", *apply(found[0].mend, CPU, {"hf_token": "no good"}))


def test_a_secret_in_clear_is_taken_out_and_set_anew() -> None:
    found = faults(CPU, {"api_keys": {"al": KEY}}, ("api_keys",))
    mended = apply(found[0].mend, CPU, {"api_keys": {"al": KEY}})
    assert mended[1] != {"api_keys": {"al": KEY}}
    plan_stack("s", *mended)


def test_all_faults_of_a_file_are_mended_in_one_go() -> None:
    settings = merged(CPU, {
        "gateway": {"api_port": 99999, "bind": "localhost"},
        "vllm": {"shm_gib": -1.0, "extra_env": {"A B": "1"}},
        "pageindex": {"answer": "magic"},
    })  # fmt: skip
    found = faults(settings, {})
    assert len(found) == 5
    secrets: dict[str, Any] = {}
    for problem in found:
        settings, secrets = apply(problem.mend, settings, secrets)
    plan_stack("s", settings, secrets)
