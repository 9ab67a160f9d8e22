"""`pageindex.models`: which model of a stack answers, summarises and reads scans for the app."""

from __future__ import annotations

from typing import Any

import pytest

from planning.__main__ import plan_text
from planning.plan import StackPlan, plan_stack
from planning.rules.scans import ocr_server
from planning.services.app import AskedModel, app_service
from planning.stack_files import ROOT, plan_of_file
from tests.unit.planning.mending import apply_all
from tests.unit.planning.test_several_models import CARDS, CPU, EMBEDDER, KEYS, ONE, SMALL, refused, with_models

EYES: dict[str, Any] = {**SMALL, "model": {**EMBEDDER, "repo": "a/eyes", "task": "vision", "multimodal": True}}
EMBED: dict[str, Any] = {**SMALL, "model": EMBEDDER}
SEEING = with_models(CPU, eyes=EYES, embed=EMBED)
OCR = {"ocr": {"base_url": "http://ocr:8000/v1"}}


def asking(file: dict[str, Any], **models: Any) -> dict[str, Any]:
    return {**file, "pageindex": {**file.get("pageindex", {}), "models": models}}


def planned(file: dict[str, Any]) -> StackPlan:
    return plan_stack("s", file, KEYS)


def environment(plan: StackPlan) -> Any:
    ocr = plan.settings.pageindex.ocr
    return app_service(
        plan.settings.pageindex,
        answer=plan.answer,
        llm_base_url="http://g:8083/v1",
        models=plan.asked,
        ocr=ocr_server(ocr) if ocr else None,
        has_ocr_key=False,
    ).environment


BAD: list[tuple[str, dict[str, Any], str]] = [
    ("pageindex.models", asking(ONE, answer="chat"), "there is one model"),
    ("pageindex.models", asking(ONE, summary="default", scans="x"), "there is one model"),
    ("pageindex.models.answer", asking(CPU, answer="chatt"), "no such model; `models` has: chat, quick"),
    ("pageindex.models.answer", asking(CPU, answer="default"), "no such model"),
    ("pageindex.models.answer", asking(CPU, answer="HuggingFaceTB/SmolLM2-135M"), "pattern"),
    ("pageindex.models.answer", asking(CPU, answer=["chat"]), "string"),
    ("pageindex.models.answer", asking(SEEING, answer="embed"), "its task is embedding, and what answers questions"),
    ("pageindex.models.summary", asking(CPU, summary="gpt-4o"), "no such model"),
    ("pageindex.models.summary", asking(SEEING, summary="embed"), "its task is embedding, and what summarises"),
    (
        "pageindex.models.summary",
        asking(with_models(CPU, ranks={**SMALL, "model": {**EMBEDDER, "task": "rerank"}}), summary="ranks"),
        "its task is rerank",
    ),
    ("pageindex.models.scans", asking(CPU, scans="quick"), "reads no images"),
    ("pageindex.models.scans", asking(SEEING, scans="quick"), "reads no images"),
    ("pageindex.models.scans", asking(SEEING, scans="embed"), "its task is embedding"),
    ("pageindex.models.scans", asking(SEEING, scans="eye"), "no such model"),
    (
        "pageindex.models.scans",
        asking(with_models(SEEING, eyes={"images_per_prompt": 0}), scans="eyes"),
        "told to take no images",
    ),
    ("pageindex.models.scans", asking({**SEEING, "pageindex": OCR}, scans="eyes"), "already says who reads"),
    ("pageindex.models.embedding", asking(SEEING, embedding="embed"), "unknown key"),
    ("pageindex.models", {**CPU, "pageindex": {"models": "chat"}}, "AppModelSettings"),
    ("pageindex.answer", asking({**CARDS, "pageindex": {"answer": "agent"}}, answer="mini"), "models.mini.max_model"),
]


@pytest.mark.parametrize(("key", "file", "reason"), BAD, ids=lambda value: str(value)[:40])
def test_a_bad_choice_is_refused_by_key_and_its_mending_lines_make_it_pass(
    key: str, file: dict[str, Any], reason: str
) -> None:
    found = refused(file)
    assert key in [error.key for error in found], [str(error) for error in found]
    assert reason in next(error.reason for error in found if error.key == key)
    plan_stack("s", *apply_all(found, file, KEYS))


@pytest.mark.parametrize(
    ("file", "meant"),
    [
        (asking(CPU, answer="quik"), "quick"),
        (asking({**CPU, "default_model": "quick"}, summary="default"), "quick"),
        (asking(SEEING, scans="eye"), "eyes"),
    ],
)
def test_a_name_that_is_close_to_one_that_can_is_mended_with_it(file: dict[str, Any], meant: str) -> None:
    [error] = refused(file)
    assert error.mend.endswith(f" {meant}")


def test_the_default_does_everything_where_nothing_is_said() -> None:
    asked = planned(CPU).asked
    assert asked.answer == asked.summary == AskedModel("chat", 4096)
    assert asked.scans is None


def test_one_model_alone_does_everything_and_reads_scans_if_it_sees() -> None:
    assert planned(ONE).asked.scans is None
    ocr = plan_of_file(ROOT / "Pulumi.ocr.yaml").asked
    assert ocr.answer == ocr.scans == AskedModel("default", 15_000)


def test_a_model_that_sees_reads_scans_unless_another_server_does() -> None:
    assert planned(SEEING).asked.scans == AskedModel("eyes", 4096)
    assert planned({**SEEING, "pageindex": OCR}).asked.scans is None
    assert planned(with_models(SEEING, eyes={"images_per_prompt": 0})).asked.scans is None


def test_of_several_that_see_the_one_that_answers_reads_scans_else_the_first() -> None:
    two = with_models(SEEING, other={**EYES, "model": {**EYES["model"], "repo": "a/other"}})
    assert planned(two).asked.scans == AskedModel("eyes", 4096)
    assert planned({**two, "default_model": "other"}).asked.scans == AskedModel("other", 4096)
    assert planned(asking(two, scans="other")).asked.scans == AskedModel("other", 4096)


def test_the_app_is_told_each_model_by_name_with_its_own_window() -> None:
    file = asking(with_models(SEEING, quick={"max_model_len": 2048}), answer="eyes", summary="quick")
    told = environment(planned(file))
    assert (told["VLLM_MODEL"], told["CONTEXT_TOKENS"]) == ("eyes", "4096")
    assert (told["SUMMARY_MODEL"], told["SUMMARY_CONTEXT_TOKENS"]) == ("quick", "2048")
    assert (told["OCR_BASE_URL"], told["OCR_MODEL"]) == ("http://g:8083/v1", "eyes")
    assert told["OCR_API_KEY_FILE"] == told["VLLM_API_KEY_FILE"]
    assert told["OCR_CONTEXT_TOKENS"] == "4096"


def test_another_server_for_scans_is_asked_with_its_own_key() -> None:
    told = environment(planned({**SEEING, "pageindex": OCR}))
    assert told["OCR_BASE_URL"] == "http://ocr:8000/v1"
    assert "OCR_API_KEY_FILE" not in told
    assert "OCR_CONTEXT_TOKENS" not in told


def test_how_questions_are_answered_is_up_to_the_model_that_answers_them() -> None:
    agent = with_models(CARDS, large={"max_model_len": 32768})
    assert planned(agent).answer == "agent"
    assert planned(asking(agent, answer="mini")).answer == "two-step"
    assert planned(asking(agent, answer="large", summary="mini")).answer == "agent"


def test_a_model_that_cannot_be_an_agent_expands_no_trees_for_one() -> None:
    agent = with_models(CARDS, large={"max_model_len": 32768})
    assert "TREE_OPTIMIZE" not in environment(planned(agent))
    assert environment(planned(asking(agent, summary="mini")))["TREE_OPTIMIZE"] == "merge"
    assert "TREE_OPTIMIZE" not in environment(planned(asking(CPU, summary="quick"))), "two steps never expand"


def test_the_plan_says_who_does_what() -> None:
    text = plan_text(planned(asking(SEEING, summary="quick")))
    assert "answers    chat, two-step, 4,096 tokens" in text
    assert "summaries  quick, 4,096 tokens" in text
    assert "scans      eyes" in text
    assert "scans      stack ocr" in plan_text(
        plan_stack("s", {**CPU, "pageindex": {"ocr": {"stack": "ocr"}}}, {**KEYS, "ocr_key": "k" * 40})
    )
    assert "scans" not in plan_text(planned(ONE))
