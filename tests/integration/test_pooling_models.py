"""Models that write nothing, on the real vLLM: started by the flags of their task, they answer on their task's routes.

No embedder's weights are to be had here: a tiny model of the same architecture has made-up ones, so the values mean
nothing, and that each text has its own does. Takes over 60 s because two vLLMs start beside each other.
"""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import lab.small_model
from planning.gateway.config import ROUTES
from planning.hosts.images import resolve_image
from planning.hosts.names import VLLM_PORT
from planning.models.catalog import catalog
from planning.services.vllm_command import vllm_command, vllm_environment
from planning.settings.vllm import VllmSettings
from tests.integration.pulumi_project import docker
from tests.polling import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]
TINY = {
    "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "hidden_size": 128, "intermediate_size": 256,
    "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32, "vocab_size": 49152,
    "max_position_embeddings": 2048, "rms_norm_eps": 1e-6, "rope_theta": 1_000_000, "tie_word_embeddings": True,
    "torch_dtype": "bfloat16", "hidden_act": "silu", "attention_bias": False, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
SETTINGS = VllmSettings(device="cpu", max_model_len=1024, max_num_seqs=4, cpu_kv_cache_gib=1, enforce_eager=True)
NAMES = ("qwen3-embedding-0.6b", "qwen3-reranker-0.6b")
Ask = Callable[[str, str, dict[str, Any]], Any]


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    """Asks the server of a catalog model: name, path, body; None as long as there is no answer."""
    folder = tmp_path_factory.mktemp("tiny")
    for file in lab.small_model.ensure().glob("tokenizer*.json"):
        shutil.copy(file, folder)
    (folder / "config.json").write_text(json.dumps(TINY))
    (folder / "vllm.yaml").write_text("seed: 0\n")
    folder.chmod(0o755)  # vLLM's user is another one
    mark = secrets.token_hex(3)

    def asked(name: str, path: str, body: dict[str, Any]) -> Any:
        address = f"http://127.0.0.1:{VLLM_PORT}{path}"
        header = "Content-Type: application/json"
        said = docker("exec", container(name), "curl", "-s", "-H", header, "-d", json.dumps(body), address, ok=False)
        return json.loads(said) if said else None

    def container(name: str) -> str:
        return f"pooling-{mark}-{name.partition('-0')[0]}"

    try:
        for name in NAMES:
            command = vllm_command(catalog()[name], SETTINGS, "/m", "/m/vllm.yaml")
            command = ["dummy" if word == "safetensors" else word for word in command]
            variables = [part for each in vllm_environment(SETTINGS).items() for part in ("-e", "=".join(each))]
            docker("run", "-d", "--name", container(name), "--network", "none", "--shm-size", "1g", "--tmpfs",
                   "/home/vllm:mode=1777", "--tmpfs", "/var/cache/vllm:mode=1777", "--user", "2000:0", *variables,
                   "-v", f"{folder}:/m:ro", resolve_image("vllm-cpu"), *command)  # fmt: skip
        yield asked
    finally:
        for name in NAMES:
            docker("rm", "-f", container(name), ok=False)


def test_an_embedder_gives_each_text_a_vector_of_its_own(ask: Ask) -> None:
    def vectors() -> Any:
        return ask(NAMES[0], ROUTES["embedding"][0], {"model": "default", "input": ["a lease", "a dog"]})

    first, second = (each["embedding"] for each in until(vectors, "vectors", 600)["data"])
    assert len(first) == len(second) == TINY["hidden_size"]
    assert first != second
    assert sum(value**2 for value in first) == pytest.approx(1, abs=0.01), "of length one"


def test_a_reranker_scores_each_document_as_likely_as_a_yes(ask: Ask) -> None:
    body = {"model": "default", "query": "How much is the rent?", "documents": ["The rent is 5.", "A dog.", "Rent"]}
    ranked = until(lambda: ask(NAMES[1], "/v1/rerank", body), "a ranking", 600)["results"]
    assert sorted(each["index"] for each in ranked) == [0, 1, 2]
    assert all(0 <= each["relevance_score"] <= 1 for each in ranked)
    pairs = {"model": "default", "text_1": body["query"], "text_2": body["documents"]}
    scored = ask(NAMES[1], "/v1/score", pairs)["data"]
    by_index = {each["index"]: each["relevance_score"] for each in ranked}
    assert {each["index"]: each["score"] for each in scored} == pytest.approx(by_index, abs=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_neither_answers_as_if_it_could_write(ask: Ask, name: str) -> None:
    answer = until(lambda: ask(name, "/v1/completions", {"model": "default", "prompt": "x"}), "a word", 600)
    assert "choices" not in answer
