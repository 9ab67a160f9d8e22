"""An answer as OpenAI's clients read it: text with footnotes, and the same as data."""

from typing import Any

from ...answering.citations import Citation
from ...answering.strategy import Answer
from ...model.request_context import TokenUsage

SOURCES = "\n\nSources:\n\n"  # between an answer and its footnotes


def content(answer: Answer) -> str:
    """The answer, with its sources as numbered footnotes."""
    if not answer.citations:
        return answer.answer
    marks = "".join(f"[{number}]" for number in range(1, len(answer.citations) + 1))
    notes = [f"{number}. {_footnote(citation)}" for number, citation in enumerate(answer.citations, 1)]
    return f"{answer.answer} {marks}{SOURCES}" + "\n".join(notes)


def _footnote(citation: Citation) -> str:
    pages = f"page{'s' if len(citation.pages) > 1 else ''} {', '.join(map(str, citation.pages))}"
    section = f" ({' › '.join(citation.section)})" if citation.section else ""
    return f"{citation.document}, {pages}{section}: “{citation.quote}”"


def structured(answer: Answer) -> dict[str, Any]:
    """What programs read instead of the footnotes; OpenAI's clients keep fields that they don't know."""
    citations = [citation.model_dump() for citation in answer.citations]
    return {"citations": citations, "support": answer.support}


def usage_counts(usage: TokenUsage) -> dict[str, int] | None:
    """None where no call to the model was counted: none was needed, or its server tells no tokens."""
    if not usage.prompt:
        return None
    total = usage.prompt + usage.completion
    return {"prompt_tokens": usage.prompt, "completion_tokens": usage.completion, "total_tokens": total}
