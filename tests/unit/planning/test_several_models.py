"""Several models in one stack file: what is refused, what each is called, and how they share cards."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from planning.__main__ import plan_text
from planning.memory.budget import CONTEXT_GIB
from planning.plan import StackPlan, plan_stack
from planning.settings.errors import BadStackFile, ConfigError
from tests.unit.planning.mending import apply, apply_all

SMALL: dict[str, Any] = {"model": "smollm2-135m-instruct", "image": "vllm-cpu", "device": "cpu", "max_model_len": 4096}
CPU: dict[str, Any] = {"models": {"chat": SMALL, "quick": {**SMALL, "max_num_seqs": 4}}, "default_model": "chat"}
ONE: dict[str, Any] = {"model": "smollm2-135m-instruct", "vllm": {"image": "vllm-cpu", "device": "cpu"}}
CARDS: dict[str, Any] = {
    "host": {"gpus": {"name": "NVIDIA GeForce RTX 5090", "count": 2}},
    "models": {"large": {"model": "qwen3-14b-awq"}, "mini": {"model": "qwen3-8b"}},
    "default_model": "large",
}
KEYS = {"api_keys": {"al": "k" * 40}}
EMBEDDER = {
    "repo": "a/embed", "revision": "0" * 40, "context_limit": 8192, "task": "embedding",
    "architecture": {"layers": 2, "hidden_size": 64, "intermediate_size": 128, "heads": 2, "kv_heads": 2,
                     "head_size": 32, "vocab_size": 1000},
}  # fmt: skip


def with_models(base: dict[str, Any], **models: Any) -> dict[str, Any]:
    """``base`` with settings of its models changed; None takes a model out."""
    file = copy.deepcopy(base)
    for name, settings in models.items():
        if settings is None:
            del file["models"][name]
        else:
            file["models"][name] = {**file["models"].get(name, {}), **settings}
    return file


def without(file: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in file.items() if name != key}


def refused(file: dict[str, Any]) -> list[ConfigError]:
    with pytest.raises(BadStackFile) as raised:
        plan_stack("s", file, KEYS)
    return list(raised.value.errors)


LIMITS = "model_requests_per_minute"


def limited(limits: dict[str, Any]) -> dict[str, Any]:
    return {"gateway": {"clients": {"al": limits}}}


def embedding(model: dict[str, Any] | None = None, **settings: Any) -> dict[str, Any]:
    """Beside others an embedder, which has ``settings``."""
    return with_models(CPU, embed={**SMALL, "model": {**EMBEDDER, **(model or {})}, **settings})


BAD: list[tuple[str, dict[str, Any], str]] = [
    ("model", {**CPU, "model": "smollm2-135m-instruct"}, "the one or the other"),
    ("vllm", {**CPU, "vllm": {"max_num_seqs": 4}}, "says itself"),
    ("model_cache.revision", {**CPU, "model_cache": {"revision": "0" * 40}}, "of its own"),
    ("default_model", {**CPU, "default_model": "chatt"}, "no such model"),
    ("default_model", without(CPU, "default_model"), "say which"),
    ("default_model", {**ONE, "default_model": "chat"}, "there is one model"),
    ("default_model", with_models(CPU, chat={"model": EMBEDDER}), "its task is embedding"),
    ("models.only.model", {"models": {"only": {**SMALL, "model": EMBEDDER}}}, "none of `models` chats"),
    ("models.default", with_models(CPU, default=SMALL), "beside its own name"),
    ("models.Chat", with_models(CPU, Chat=SMALL), "pattern"),
    ("models.chat.model", with_models(CPU, chat={"model": "gpt-17"}), "catalog"),
    ("models.chat.image", with_models(CPU, chat={"image": "vllm-cuba"}), "images.compose.yaml"),
    ("models.chat.max_model_len", with_models(CPU, chat={"max_model_len": 9000}), "at most 8192"),
    ("models.chat.max_model_len", with_models(CPU, chat={"max_model_len": "8k"}), "integer"),
    ("models.chat.turbo", with_models(CPU, chat={"turbo": True}), "unknown key"),
    ("models.chat.revision", with_models(CPU, chat={"revision": "main"}), "can move"),
    ("models.chat.extra_flags.port", with_models(CPU, chat={"extra_flags": {"port": 1}}), "contradicts"),
    ("models.chat.rollout", with_models(CPU, chat={"rollout": "rolling"}), "second replica"),
    ("models.embed.model.tool_call_parser", embedding(model={"tool_call_parser": "hermes"}), "its task is embedding"),
    ("models.embed.model.reasoning_parser", embedding(model={"reasoning_parser": "qwen3"}), "writes nothing"),
    ("models.embed.model.max_new_tokens", embedding(model={"max_new_tokens": 64, "task": "rerank"}), "task is rerank"),
    ("models.embed.extra_flags.speculative-config", embedding(extra_flags={"speculative-config": "{}"}), "nothing"),
    ("models.chat.memory_gib", with_models(CPU, chat={"memory_gib": 2.0}), "needs"),
    ("gateway.clients.al.models", {**CPU, "gateway": {"clients": {"al": {"models": ["quik"]}}}}, "no such model"),
    ("gateway.clients.al.models", {**ONE, "gateway": {"clients": {"al": {"models": ["chat"]}}}}, "there is one model"),
    (f"gateway.clients.al.{LIMITS}.gone", {**CPU, **limited({LIMITS: {"gone": 3}})}, "no such model; it may use only"),
    (f"gateway.clients.al.{LIMITS}.chat", {**CPU, **limited({"models": ["quick"], LIMITS: {"chat": 3}})}, "only quick"),
    (f"gateway.clients.al.{LIMITS}.chat", {**CPU, **limited({"requests_per_minute": 9, LIMITS: {"chat": 10}})}, "9"),
    (f"gateway.clients.al.{LIMITS}", {**ONE, **limited({LIMITS: {"chat": 3}})}, "there is one model"),
    ("models.mini.placement", with_models(CARDS, mini={"placement": [[2]]}), "there is no card 2"),
    (
        "models.mini.gpu_memory_utilization",
        with_models(CARDS, large={"placement": [[0]], "gpu_memory_utilization": 0.7},
                    mini={"model": "smollm2-135m-instruct", "placement": [[0]], "gpu_memory_utilization": 0.7}),
        "What would fit",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("key", "file", "reason"), BAD, ids=lambda value: str(value)[:40])
def test_a_bad_file_is_refused_by_key_and_its_mending_lines_make_it_pass(
    key: str, file: dict[str, Any], reason: str
) -> None:
    found = refused(file)
    assert key in [error.key for error in found], [str(error) for error in found]
    assert reason in next(error.reason for error in found if error.key == key)
    settings, secrets = apply_all(found, file, KEYS)
    try:
        plan_stack("s", settings, secrets)
    except BadStackFile as again:  # the default may be open once a model is gone
        for error in again.errors:
            assert error.key == "default_model", str(error)
            settings, secrets = apply(error.mend, settings, secrets)
        plan_stack("s", settings, secrets)


def models_of(plan: StackPlan) -> dict[str, Any]:
    return {served.name: served for served in plan.models}


def test_a_model_answers_to_its_name_and_its_repository_and_one_of_them_to_default() -> None:
    plan = plan_stack("s", CARDS, KEYS)
    names = {served.name: served.names for served in plan.models}
    assert names == {"large": ("large", "Qwen/Qwen3-14B-AWQ", "default"), "mini": ("mini", "Qwen/Qwen3-8B")}
    assert plan.default.name == "large"


def test_two_models_of_one_repository_answer_to_their_own_names_only() -> None:
    names = {served.name: served.names for served in plan_stack("s", CPU, KEYS).models}
    assert names == {"chat": ("chat", "default"), "quick": ("quick",)}


def test_the_only_model_that_chats_is_the_default() -> None:
    plan = plan_stack("s", without(with_models(CPU, quick={"model": EMBEDDER}), "default_model"), KEYS)
    assert plan.default.name == "chat"


def test_a_file_with_one_model_plans_it_as_before() -> None:
    [served] = plan_stack("s", ONE, KEYS).models
    assert (served.name, served.names[0]) == ("", "default")
    assert [replica.alias for replica in served.replicas] == ["vllm-0"]


def test_models_without_a_placement_get_cards_of_their_own() -> None:
    served = models_of(plan_stack("s", CARDS, KEYS))
    assert [replica.cards for replica in served["large"].replicas] == [(0,)]
    assert [replica.cards for replica in served["mini"].replicas] == [(1,)]
    assert served["mini"].settings.gpu_memory_utilization == 0.9
    assert served["mini"].starts_after == ()


SHARED = with_models(CARDS, large={"placement": [[0]]}, mini={"placement": [[0]], "model": "qwen2.5-7b-instruct"})


def test_models_on_one_card_get_shares_that_fit_together_and_start_one_after_the_other() -> None:
    plan = plan_stack("s", with_models(SHARED, mini={"model": "smollm2-135m-instruct"}), KEYS)
    served = models_of(plan)
    assert plan.card
    taken = sum(each.settings.gpu_memory_utilization * plan.card.cuda_gib + CONTEXT_GIB for each in plan.models)
    assert taken <= plan.card.cuda_gib
    assert all(each.fit.memory and each.fit.memory.fits for each in plan.models)
    assert served["mini"].starts_after == ("large",)
    assert served["large"].starts_after == ()
    text = plan_text(plan)
    assert "starts after large" in text
    assert "card 0  NVIDIA GeForce RTX 5090, 31.3 GiB: vllm-large-0, vllm-mini-0" in text
    assert "card 1  NVIDIA GeForce RTX 5090, 31.3 GiB: free" in text


def test_a_share_that_the_file_says_is_kept_and_the_other_fits_beside_it() -> None:
    plan = plan_stack("s", with_models(SHARED, large={"gpu_memory_utilization": 0.4}), KEYS)
    served = models_of(plan)
    assert served["large"].settings.gpu_memory_utilization == 0.4
    assert 0.45 < served["mini"].settings.gpu_memory_utilization < 0.6


def test_a_card_that_is_too_full_is_refused_for_each_model_on_it_and_the_mending_lines_make_it_fit() -> None:
    file = with_models(SHARED, large={"model": "qwen3-32b-awq"}, mini={"model": "qwen3-8b"})
    found = refused(file)
    assert [error.key for error in found] == [f"models.{name}.gpu_memory_utilization" for name in ("large", "mini")]
    assert all("does not start" in error.reason for error in found)
    plan_stack("s", *apply_all(found, file, KEYS))


def test_a_model_for_which_no_card_is_left_is_told_to_share_one() -> None:
    [error] = refused(with_models(CARDS, small={"model": "smollm2-135m-instruct"}))
    assert error.key == "models.small.placement"
    assert "none of them" in error.reason


def test_the_room_for_a_second_copy_is_what_its_neighbours_leave() -> None:
    small = {"model": "smollm2-135m-instruct", "gpu_memory_utilization": 0.3}
    alone = models_of(plan_stack("s", with_models(CARDS, mini=small), KEYS))["mini"]
    beside = with_models(
        CARDS, large={"placement": [[0]], "gpu_memory_utilization": 0.5}, mini={**small, "placement": [[0]]}
    )
    assert alone.rollout == "blue-green"
    assert models_of(plan_stack("s", beside, KEYS))["mini"].rollout == "recreate"


def test_a_change_of_one_models_share_leaves_the_others_replica_as_it_is() -> None:
    before = models_of(plan_stack("s", CPU, KEYS))
    after = models_of(plan_stack("s", with_models(CPU, quick={"max_num_seqs": 5}), KEYS))
    assert before["chat"].fingerprint == after["chat"].fingerprint
    assert before["quick"].fingerprint != after["quick"].fingerprint
