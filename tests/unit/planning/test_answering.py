"""Which way of answering a stack gets."""

from __future__ import annotations

from pathlib import Path

import pytest

from planning.models.catalog import catalog
from planning.rules.answering import AGENT_CONTEXT_TOKENS, answer_mode
from planning.services.vllm_command import vllm_command
from planning.settings.areas import PageIndexSettings
from planning.settings.vllm import VllmSettings
from planning.stack_files import plan_of_file

ROOT = Path(__file__).resolve().parents[3]
BY_STACK = {
    "dev": "two-step",  # no tool calls
    "single-gpu": "two-step",  # a window of 16384 tokens
    "gb10": "two-step",  # a window of 8192 tokens
    "ocr": "two-step",
    "rtx5090": "agent",
    "rtx5090-replicas": "agent",
}


@pytest.mark.parametrize("stack", BY_STACK)
def test_auto_picks_by_the_catalog_and_the_window(stack: str) -> None:
    plan = plan_of_file(ROOT / f"Pulumi.{stack}.yaml")
    assert plan.settings.pageindex.answer == "auto"
    assert plan.answer == BY_STACK[stack]


def test_every_model_of_the_catalog_that_gets_the_agent_starts_vllm_with_its_parser() -> None:
    settings, auto = VllmSettings(max_model_len=AGENT_CONTEXT_TOKENS), PageIndexSettings()
    chosen = {name: answer_mode(auto, model, settings) for name, model in catalog().items()}
    assert set(chosen.values()) == {"agent", "two-step"}
    for name, mode in chosen.items():
        command = vllm_command(catalog()[name], settings, "/m", "/c")
        assert (mode == "agent") == ("--enable-auto-tool-choice" in command) == ("--tool-call-parser" in command)


def test_what_the_stack_file_says_goes_before_auto() -> None:
    settings, model = VllmSettings(max_model_len=AGENT_CONTEXT_TOKENS), catalog()["qwen3-8b"]
    assert answer_mode(PageIndexSettings(answer="two-step"), model, settings) == "two-step"
    short = VllmSettings(max_model_len=AGENT_CONTEXT_TOKENS - 1)
    assert answer_mode(PageIndexSettings(), model, short) == "two-step"
