"""How the app answers: by PageIndex's agent where the model can drive it, otherwise in two steps."""

from __future__ import annotations

from planning.rules.modes import AnswerMode
from planning.settings.areas import PageIndexSettings
from planning.settings.model import InlineModel
from planning.settings.vllm import VllmSettings

AGENT_CONTEXT_TOKENS = 32_768  # an outline, several pages and the calls between them stay in one window


def answer_mode(settings: PageIndexSettings, model: InlineModel, vllm: VllmSettings) -> AnswerMode:
    """What `auto` comes to for this model and window."""
    if settings.answer == "auto":
        return "two-step" if hindrance(model, vllm) else "agent"
    return settings.answer


def hindrance(model: InlineModel, vllm: VllmSettings) -> str | None:
    """Why the agent cannot work, or None. vLLM gets the catalog's parser and --enable-auto-tool-choice by itself."""
    if not model.tool_call_parser:
        return f"{model.repo} has no tool_call_parser, and the agent works by tool calls"
    if vllm.max_model_len < AGENT_CONTEXT_TOKENS:
        return (
            f"the agent reads an outline and several pages in one window of {AGENT_CONTEXT_TOKENS} tokens or more, "
            f"but vllm.max_model_len is {vllm.max_model_len}"
        )
    return None
