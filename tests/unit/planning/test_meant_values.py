"""A mending line says what the user meant, wherever that can be read from what they wrote."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from planning.plan import plan_stack
from planning.settings.errors import BadStackFile
from tests.unit.planning.mending import apply
from tests.unit.planning.test_bad_stack_files import CARDS, CPU, KEY, merged

MEANT: list[tuple[dict[str, Any], dict[str, Any], str, Any]] = [
    # base, what the file says, key, what was meant
    (CPU, {"gateway": {"api_port": "8123"}}, "gateway.api_port", 8123),
    (CPU, {"gateway": {"api_port": " 8123 "}}, "gateway.api_port", 8123),
    (CPU, {"gateway": {"api_port": 8123.0}}, "gateway.api_port", 8123),
    (CPU, {"gateway": {"timeout_s": "600"}}, "gateway.timeout_s", 600),
    (CPU, {"gateway": {"affinity": "Session"}}, "gateway.affinity", "session"),
    (CPU, {"gateway": {"affinity": "sesion"}}, "gateway.affinity", "session"),
    (CPU, {"pageindex": {"answer": "two_step"}}, "pageindex.answer", "two-step"),
    (CPU, {"pageindex": {"answer": "TWO-STEP"}}, "pageindex.answer", "two-step"),
    (CPU, {"pageindex": {"memory_gib": "6.5"}}, "pageindex.memory_gib", 6.5),
    (CPU, {"pageindex": {"memory_gib": "6,5"}}, "pageindex.memory_gib", 6.5),
    (CPU, {"vllm": {"max_model_len": "4,096"}}, "vllm.max_model_len", 4096),
    (CPU, {"vllm": {"max_model_len": "4 096"}}, "vllm.max_model_len", 4096),
    (CPU, {"pageindex": {"max_pages": "2.500"}}, "pageindex.max_pages", 2500),
    (CPU, {"pageindex": {"max_pages": "1,500,000"}}, "pageindex.max_pages", 2000),  # above the limit: an example
    (CPU, {"pageindex": {"max_pages": "50 pages"}}, "pageindex.max_pages", 50),
    (CPU, {"pageindex": {"max_pages": "1e3"}}, "pageindex.max_pages", 1000),
    (CPU, {"vllm": {"max_model_len": "4k"}}, "vllm.max_model_len", 4000),
    (CPU, {"vllm": {"max_model_len": "4K"}}, "vllm.max_model_len", 4096),
    (CPU, {"vllm": {"max_num_batched_tokens": "8K"}}, "vllm.max_num_batched_tokens", 8192),
    (CPU, {"gateway": {"api_port": ":8123"}}, "gateway.api_port", 8123),
    (CPU, {"gateway": {"api_port": "127.0.0.1:8123"}}, "gateway.api_port", 8123),
    (CPU, {"gateway": {"api_port": [8123]}}, "gateway.api_port", 8123),
    (CPU, {"gateway": {"api_port": 80000}}, "gateway.api_port", 8000),  # nobody knows which one was meant
    (CPU, {"gateway": {"bind": "127.0.0.2:8000"}}, "gateway.bind", "127.0.0.2"),
    (CPU, {"gateway": {"timeout_s": "600s"}}, "gateway.timeout_s", 600),
    (CPU, {"gateway": {"timeout_s": "10 min"}}, "gateway.timeout_s", 600),
    (CPU, {"gateway": {"timeout_s": "1h30m"}}, "gateway.timeout_s", 5400),
    (CPU, {"gateway": {"timeout_s": 100_000}}, "gateway.timeout_s", 86400),  # the most that there is
    (CPU, {"gateway": {"max_body_mib": "80 MB"}}, "gateway.max_body_mib", 80),
    (CPU, {"gateway": {"max_body_mib": "1GiB"}}, "gateway.max_body_mib", 1024),
    (CPU, {"pageindex": {"memory_gib": "512m"}}, "pageindex.memory_gib", 4.0),  # below the least: an example
    (CPU, {"pageindex": {"memory_gib": "1536 MiB"}}, "pageindex.memory_gib", 1.5),
    (CPU, {"pageindex": {"memory_gib": "1,500"}}, "pageindex.memory_gib", 4.0),  # 1.5 or 1500
    (CPU, {"vllm": {"enforce_eager": "yes"}}, "vllm.enforce_eager", True),
    (CPU, {"vllm": {"enforce_eager": "On"}}, "vllm.enforce_eager", True),
    (CPU, {"vllm": {"enforce_eager": 1}}, "vllm.enforce_eager", True),
    (CPU, {"vllm": {"enforce_eager": "1"}}, "vllm.enforce_eager", True),
    (CPU, {"vllm": {"restart": False}}, "vllm.restart", "no"),
    (CPU, {"vllm": {"restart": "never"}}, "vllm.restart", "no"),
    (CPU, {"vllm": {"dtype": "bf16"}}, "vllm.dtype", "bfloat16"),
    (CPU, {"vllm": {"nccl": {"debug": "warn"}}}, "vllm.nccl.debug", "WARN"),
    (CPU, {"vllm": {"image": "vllm-CPU"}}, "vllm.image", "vllm-cpu"),
    (CPU, {"gateway": {"tls": "Self-Signed"}}, "gateway.tls", "self-signed"),
    (CPU, {"gateway": {"clients": {"al": {"expires": "31.12.2028"}}}}, "gateway.clients.al.expires", "2028-12-31"),
    (CPU, {"gateway": {"clients": {"al": {"expires": "12/31/2028"}}}}, "gateway.clients.al.expires", "2028-12-31"),
    (CPU, {"gateway": {"key_expires": {"al": "2028/1/5"}}}, "gateway.key_expires.al", "2028-01-05"),
    (CPU, {"model_cache": {"endpoint": "mirror.example.org"}}, "model_cache.endpoint", "https://mirror.example.org"),
    (CPU, {"pageindex": {"ocr": {"base_url": "eyes:9000/v1"}}}, "pageindex.ocr.base_url", "http://eyes:9000/v1"),
    (CPU, {"host": {"docker": "/run/user/1000/docker.sock"}}, "host.docker", "unix:///run/user/1000/docker.sock"),
    (CPU, {"host": {"docker": "unix:/run/other.sock"}}, "host.docker", "unix:///run/other.sock"),
    (CPU, {"vllm": {"rollback": "off"}}, "vllm.rollback", False),
    (CPU, {"vllm": {"extra_env": {"OMP_NUM_THREADS": 1}}}, "vllm.extra_env.OMP_NUM_THREADS", "1"),
    (CPU, {"vllm": {"restart": "unless_stopped"}}, "vllm.restart", "unless-stopped"),
    (CARDS, {"vllm": {"gpu_memory_utilization": 80}}, "vllm.gpu_memory_utilization", 0.8),
    (CARDS, {"vllm": {"gpu_memory_utilization": "85"}}, "vllm.gpu_memory_utilization", 0.85),
    (CARDS, {"vllm": {"gpu_memory_utilization": ".85"}}, "vllm.gpu_memory_utilization", 0.85),
    (CARDS, {"host": {"gpus": {"name": "rtx 5090", "count": 2}}}, "host.gpus.name", "NVIDIA GeForce RTX 5090"),
    (CARDS, {"host": {"gpus": {"name": "5090", "count": 2}}}, "host.gpus.name", "NVIDIA GeForce RTX 5090"),
    (CARDS, {"model": "Qwen/Qwen3-32B-AWQ"}, "model", "qwen3-32b-awq"),
    (CARDS, {"model": "https://huggingface.co/Qwen/Qwen3-32B-AWQ"}, "model", "qwen3-32b-awq"),
    (CARDS, {"vllm": {"gpu_memory_utilization": "80%"}}, "vllm.gpu_memory_utilization", 0.8),
    (CARDS, {"vllm": {"gpu_memory_utilization": "0,8"}}, "vllm.gpu_memory_utilization", 0.8),
]
MOVED: list[tuple[dict[str, Any], str, str, Any]] = [
    # what the file says, the mistyped key, the right one, its value
    ({"gatway": {"api_port": 8123}}, "gatway", "gateway.api_port", 8123),
    (
        {"Gateway": {"clients": {"al": {"requests_per_minute": 5}}}},
        "Gateway",
        "gateway.clients.al.requests_per_minute",
        5,
    ),
    ({"vllm": {"max_num_seq": 4}}, "vllm.max_num_seq", "vllm.max_num_seqs", 4),
    ({"vllm": {"maxNumSeqs": 4}}, "vllm.maxNumSeqs", "vllm.max_num_seqs", 4),
    ({"page_index": {"answer": "two-step"}}, "page_index", "pageindex.answer", "two-step"),
    ({"gateway": {"api-port": 8123}}, "gateway.api-port", "gateway.api_port", 8123),
    ({"gateway ": {"api_port": 8123}}, "gateway ", "gateway.api_port", 8123),
    ({"gatway": {"api_port": "8123"}}, "gatway", "gateway.api_port", 8123),
    ({"vlm": {"enforce_eager": "yes"}}, "vlm", "vllm.enforce_eager", True),  # beside a vllm that says other things
]
LISTS: list[tuple[dict[str, Any], str, str, list[Any]]] = [
    # what the file says, the key of the error, the list, what it should hold
    ({"gateway": {"server_names": "a.b"}}, "gateway.server_names", "gateway.server_names", ["a.b"]),
    ({"gateway": {"server_names": "a.b, c.d"}}, "gateway.server_names", "gateway.server_names", ["a.b", "c.d"]),
    ({"gateway": {"server_names": ["a b", "c.d"]}}, "gateway.server_names.0", "gateway.server_names", ["c.d"]),
    ({"gateway": {"server_names": ["https://a.b/"]}}, "gateway.server_names.0", "gateway.server_names", ["a.b"]),
    (
        {"gateway": {"clients": {"al": {"allowed_paths": "/v1/models"}}}},
        "gateway.clients.al.allowed_paths",
        "gateway.clients.al.allowed_paths",
        ["/v1/models"],
    ),
    (
        {"gateway": {"clients": {"al": {"allowed_paths": ["/v1/models", "v1/embeddings"]}}}},
        "gateway.clients.al.allowed_paths.1",
        "gateway.clients.al.allowed_paths",
        ["/v1/models", "/v1/embeddings"],
    ),
    (
        {"gateway": {"clients": {"al": {"allowed_paths": ["/v1/all of them"]}}}},  # not every path instead
        "gateway.clients.al.allowed_paths.0",
        "gateway.clients.al.allowed_paths",
        ["/v1/chat/completions"],
    ),
]  # fmt: skip
RENAMED: list[tuple[dict[str, Any], str, dict[str, Any]]] = [
    # what a map of the file says, where it stands, what it should say
    ({"--seed": 1}, "vllm.extra_flags", {"seed": 1}),
    ({"enable_prefix_caching": True}, "vllm.extra_flags", {"enable-prefix-caching": True}),
    ({"MY-NUMBER": "1"}, "vllm.extra_env", {"MY_NUMBER": "1"}),
]


def value_of(settings: dict[str, Any], key: str) -> Any:
    value: Any = settings
    for part in key.split("."):
        value = value[part]
    return value


def refused(settings: dict[str, Any], secrets: dict[str, Any]) -> Any:
    with pytest.raises(BadStackFile) as raised:
        plan_stack("s", settings, secrets)
    [error] = raised.value.errors
    return error


@pytest.mark.parametrize(("base", "content", "key", "meant"), MEANT, ids=lambda value: str(value)[:50])
def test_what_was_meant_is_what_the_line_sets(
    base: dict[str, Any], content: dict[str, Any], key: str, meant: Any
) -> None:
    settings, secrets = merged(base, content), {"api_keys": {"al": KEY}}
    error = refused(settings, secrets)
    assert error.key == key
    mended, _ = apply(error.mend, settings, secrets)
    assert value_of(mended, key) == meant
    assert type(value_of(mended, key)) is type(meant)
    plan_stack("s", mended, secrets)


@pytest.mark.parametrize(("content", "wrong", "right", "value"), MOVED, ids=lambda value: str(value)[:50])
def test_a_mistyped_key_takes_its_value_along(content: dict[str, Any], wrong: str, right: str, value: Any) -> None:
    settings, secrets = merged(CPU, content), {"api_keys": {"al": KEY}}
    error = refused(settings, secrets)
    assert error.key == wrong
    assert f"did you mean {right.split('.')[wrong.count('.')]}?" in error.reason
    mended, _ = apply(error.mend, settings, secrets)
    assert value_of(mended, right) == value
    plan_stack("s", mended, secrets)


def test_what_the_right_key_says_wins_over_a_mistyped_one() -> None:
    settings = merged(CPU, {"gatway": {"api_port": 8123}, "gateway": {"api_port": 8124}})
    error = refused(settings, {})
    assert "did you mean gateway, which the file has, too?" in error.reason
    mended, _ = apply(error.mend, settings, {})
    assert mended["gateway"] == {"api_port": 8124}
    plan_stack("s", mended, {})


@pytest.mark.parametrize("wrong", ["api_port", "vllm.api_port"])
@pytest.mark.parametrize("value", [8123, "8123"])  # on the first level Pulumi hands over text
def test_a_key_that_stands_elsewhere_goes_to_its_place(wrong: str, value: Any) -> None:
    *area, name = wrong.split(".")
    settings = merged(CPU, {area[0]: {name: value}} if area else {name: value})
    error = refused(settings, {})
    assert error.key == wrong
    assert "did you mean gateway.api_port?" in error.reason
    mended, _ = apply(error.mend, settings, {})
    assert value_of(mended, "gateway.api_port") == 8123
    plan_stack("s", mended, {})


@pytest.mark.parametrize(("content", "key", "where", "meant"), LISTS, ids=lambda value: str(value)[:50])
def test_a_list_is_written_anew_with_what_can_be_read(
    content: dict[str, Any], key: str, where: str, meant: list[Any]
) -> None:
    settings, secrets = merged(CPU, content), {"api_keys": {"al": KEY}}
    error = refused(settings, secrets)
    assert error.key == key
    mended, _ = apply(error.mend, settings, secrets)
    assert value_of(mended, where) == meant
    plan_stack("s", mended, secrets)


def test_several_errors_in_one_list_are_mended_by_each_of_their_lines() -> None:
    settings: dict[str, Any] = merged(CARDS, {"vllm": {"placement": [["0", "1"]]}})
    with pytest.raises(BadStackFile) as raised:
        plan_stack("s", settings, {})
    assert len(raised.value.errors) == 2
    for error in raised.value.errors:
        settings, _ = apply(error.mend, settings, {})
    assert settings["vllm"]["placement"] == [[0, 1]]
    plan_stack("s", settings, {})


@pytest.mark.parametrize(("content", "where", "meant"), RENAMED, ids=lambda value: str(value)[:50])
def test_a_mistyped_key_of_a_map_takes_its_value_along(
    content: dict[str, Any], where: str, meant: dict[str, Any]
) -> None:
    area, key = where.split(".")
    settings = merged(CPU, {area: {key: content}})
    mended, _ = apply(refused(settings, {}).mend, settings, {})
    assert value_of(mended, where) == meant
    plan_stack("s", mended, {})


def test_a_waiver_under_a_mistyped_name_keeps_its_reason() -> None:
    settings = merged(CPU, {"waivers": {"docker_engine": "the host has an older one"}})
    mended, _ = apply(refused(settings, {}).mend, settings, {})
    assert mended["waivers"] == {"docker-engine": "the host has an older one"}


def test_a_client_whose_name_is_a_number_is_no_index() -> None:
    settings = merged(CPU, {"gateway": {"clients": {"42": {"requests_per_minute": "5"}}}})
    secrets = {"api_keys": {"42": KEY}}
    mended, _ = apply(refused(settings, secrets).mend, settings, secrets)
    assert mended["gateway"]["clients"] == {"42": {"requests_per_minute": 5}}


def test_a_card_alone_becomes_its_name() -> None:
    card = "NVIDIA GeForce RTX 5090"
    settings = {**merged(CARDS, {"vllm": {"tensor_parallel_size": 1}}), "host": {"gpus": card}}
    settings["model"] = "qwen3-8b"
    settings["vllm"]["max_num_seqs"] = 16
    mended, _ = apply(refused(settings, {}).mend, settings, {})
    assert mended["host"]["gpus"] == {"name": card}
    plan_stack("s", mended, {})


@pytest.mark.parametrize(("named", "other"), [("NVIDIA GeForce RTX 4080", "4090"), ("qwen3-9b", "qwen3-8b")])
def test_a_name_with_another_number_is_not_taken_for_a_typing_error(named: str, other: str) -> None:
    content = {"model": named} if named.startswith("qwen") else {"host": {"gpus": {"name": named}}}
    error = refused(merged(CARDS, content), {})
    assert other not in error.mend


def test_a_needed_key_that_is_mistyped_is_one_error() -> None:
    inline = {"repo": "a/b", "revison": "1" * 40, "context_limit": 8192}
    settings = merged({**CPU, "model": None}, {"model": inline})
    error = refused(settings, {})
    assert error.key == "model.revison"
    mended, _ = apply(error.mend, settings, {})
    plan_stack("s", mended, {})


@pytest.mark.parametrize(
    ("named", "meant"), [("Qwen3-8B", "qwen3-8b"), ("smollm2-135m-instuct", "smollm2-135m-instruct")]
)
def test_a_mistyped_model_is_mended_with_the_one_that_is_close(named: str, meant: str) -> None:
    error = refused({**copy.deepcopy(CPU), "model": named}, {})
    assert error.mend == f"pulumi config set -s s model {meant}"


@pytest.mark.parametrize("value", ["a lot", "32k", None, [8000]])
def test_what_cannot_be_read_is_mended_with_a_value_that_passes(value: Any) -> None:
    settings = merged(CPU, {"vllm": {"max_num_seqs": value}})
    error = refused(settings, {})
    mended, _ = apply(error.mend, settings, {})
    plan_stack("s", mended, {})


def test_a_secret_under_a_mistyped_key_is_not_moved_in_clear() -> None:
    error = refused(merged(CPU, {"ocr_kye": KEY}), {})
    assert KEY not in error.mend
