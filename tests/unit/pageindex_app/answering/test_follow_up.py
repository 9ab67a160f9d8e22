"""Follow-up questions, and how much of the conversation they take along."""

from pageindex_app.answering.follow_up import in_context, last_turns
from pageindex_app.answering.strategy import Turn


def test_only_questions_that_point_back_take_the_one_before_along() -> None:
    said = [Turn("user", "How deep is the channel?"), Turn("assistant", "11.8 metres.")]
    assert in_context("And how wide is it?", said) == "How deep is the channel? And how wide is it?"
    assert in_context("Why?", said) == "How deep is the channel? Why?"
    assert in_context("Who calibrates the tide buoy's sensor?", said) == "Who calibrates the tide buoy's sensor?"
    assert in_context("And how wide is it?", []) == "And how wide is it?"


def test_of_a_long_history_only_the_last_turns_are_shown() -> None:
    turns = [Turn("user" if number % 2 == 0 else "assistant", "x" * 400) for number in range(20)]
    kept = last_turns(turns)
    assert kept == turns[-2:]
    assert kept[0].role == "user"
