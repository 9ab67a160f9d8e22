"""The model against what is asked of it: context, answers, images, its task, weights that do not change."""

from __future__ import annotations

from collections.abc import Iterator

from planning.rules.answering import hindrance
from planning.rules.draft import Draft
from planning.settings.errors import ConfigError

OF_WRITING = ("tool_call_parser", "reasoning_parser", "max_new_tokens")
DRAFTING = ("speculative-config", "spec-method", "spec-model", "spec-tokens")  # flags that guess the next words


def model_errors(draft: Draft) -> Iterator[ConfigError]:
    model, vllm = draft.model, draft.settings.vllm
    if model is None:
        return
    if vllm.max_model_len > model.context_limit:
        yield ConfigError(
            "vllm.max_model_len",
            f"{model.repo} was made for at most {model.context_limit} tokens",
            draft.set_line("vllm.max_model_len", model.context_limit),
            str(vllm.max_model_len),
        )
    if vllm.images_per_prompt is not None and not model.multimodal:
        yield ConfigError(
            "vllm.images_per_prompt",
            f"{model.repo} reads no images",
            draft.rm_line("vllm.images_per_prompt"),
            str(vllm.images_per_prompt),
        )


def task_errors(draft: Draft) -> Iterator[ConfigError]:
    """What only a model that writes can have, with one that gives vectors or scores."""
    model = draft.model
    if model is None or model.writes:
        return
    why = f"{model.repo} writes nothing: its task is {model.task}"
    for field in OF_WRITING:
        if (value := getattr(model, field)) is not None:
            path = f"model.{field}"
            yield ConfigError(path, why, draft.rm_line(path), str(value))
    for flag in DRAFTING:
        if flag in draft.settings.vllm.extra_flags:
            path = f"vllm.extra_flags.{flag}"
            yield ConfigError(path, why, draft.rm_line(path), str(draft.settings.vllm.extra_flags[flag]))


def agent_errors(draft: Draft) -> Iterator[ConfigError]:
    """The model that answers the app's questions against how it is to answer them."""
    model, settings = draft.model, draft.settings
    if model and settings.pageindex.answer == "agent" and (reason := hindrance(model, settings.vllm)):
        yield ConfigError("pageindex.answer", reason, draft.set_line("pageindex.answer", "two-step"), "agent")


def weights_errors(draft: Draft) -> Iterator[ConfigError]:
    """Weights must not change under a stack: a commit, or a directory on the host, or a waiver."""
    cache, model, waivers = draft.settings.model_cache, draft.model, draft.settings.waivers
    local = cache.local_path or (isinstance(draft.settings.model, str) and draft.settings.model.startswith("/"))
    if local and cache.revision:
        yield ConfigError(
            "model_cache.revision",
            "weights in a directory of the host have no revision: nothing is downloaded",
            draft.rm_line("model_cache.revision"),
            cache.revision,
        )
        return
    if local and not cache.keep_previous:
        yield ConfigError(
            "model_cache.keep_previous",
            "weights in a directory of the host are its own: nothing there is ever removed",
            draft.rm_line("model_cache.keep_previous"),
            "false",
        )
    if local or model is None:
        return
    waive = draft.set_line("waivers.unpinned-model", "say here why a moving name will do")
    if cache.revision is None and not model.pinned:
        yield ConfigError(
            "model_cache.revision",
            f"no public source names a commit of {model.repo}, so the catalog can't pin it: give one from "
            f"https://huggingface.co/{model.repo}/commits/main, or a branch and a waiver",
            f"{draft.set_line('model_cache.revision', 'main')} && {waive}"
            if "unpinned-model" not in waivers
            else draft.set_line("model_cache.revision", "main"),
        )
    if cache.revision is not None and len(cache.revision) != 40 and "unpinned-model" not in waivers:
        yield ConfigError(
            "model_cache.revision",
            "a branch or tag can move, so that another host gets other weights; a commit can't",
            waive,
            cache.revision,
        )
