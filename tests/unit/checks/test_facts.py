"""The program and the checks agree on what a question is told, or the question is not asked."""

from __future__ import annotations

import pytest

from checks.facts import FACTS, WrongFacts, checked
from rollout.facts import Facts

GATE = {"container": "c", "what": "vLLM", "timeout_s": 5}


def test_facts_that_are_complete_pass_as_they_are() -> None:
    assert checked("healthy", GATE) == GATE
    assert checked("healthy", {**GATE, "docker_host": "ssh://gpu@host"})["docker_host"] == "ssh://gpu@host"


def test_a_key_that_nobody_reads_and_one_that_is_missing_are_both_named() -> None:
    with pytest.raises(WrongFacts, match=r"lacks timeout_s and has unknown timeout"):
        checked("finished", {"container": "c", "what": "weights", "timeout": 5})


def test_an_optional_key_may_be_left_out() -> None:
    isolation = {"network": "n", "isolated_containers": [], "gateway_container": "g", "bind": "127.0.0.1"}
    assert checked("isolation", isolation) == isolation


@pytest.mark.parametrize("question", sorted(FACTS))
def test_every_question_needs_something(question: str) -> None:
    with pytest.raises(WrongFacts, match="lacks"):
        checked(question, {})


def test_a_rollout_refuses_what_it_does_not_know() -> None:
    with pytest.raises(ValueError, match="does not know moed"):
        Facts.read({"prefix": "p", "moed": "rolling"})
    with pytest.raises(ValueError, match="slot"):
        Facts.read({"prefix": "p", "served_models": ["m"]})
