"""Two plain calls for models that cannot call tools: choose sections, then answer from their pages."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from ..base.settings import Settings
from ..model.client import ModelClient, PromptTooLong
from . import citations
from .follow_up import in_context
from .retrieval import ALL_RANKINGS, Hit, Rankings, retrieve
from .strategy import Answer, Event, Source, Stage, Token, Turn

NOT_FOUND = "The documents do not answer this question."
SYSTEM = (
    "You answer questions from a text. Use only the text. Answer in one short sentence and copy names, "
    "numbers and units exactly. If the text does not contain the answer, reply: not in the text."
)
# A small model goes on inventing questions or repeating the text after its answer.
STOP = ["\n\n", "\nQuestion:", "\nText:"]


class TwoStep:
    """Retrieval by tree and words, an answer from a short context, quotes checked against the pages."""

    def __init__(self, model: ModelClient, settings: Settings, rankings: Rankings = ALL_RANKINGS) -> None:
        self._model = model
        self._settings = settings
        self._rankings = rankings

    async def stream(
        self, question: str, sources: Sequence[Source], history: Sequence[Turn] = ()
    ) -> AsyncGenerator[Event, None]:
        """The tokens shown are those of the last reading; the answer at the end has been checked."""
        documents = [source.index for source in sources]
        question = in_context(question, history)
        yield Stage("choosing_sections", {"documents": len(documents)})
        found = await retrieve(question, documents, self._model, self._settings, self._rankings)
        if not found.hits:
            yield _nothing()
            return
        pages = [
            {"document_id": document.document_id, "document": document.name, "page": page}
            for document, page in found.pages
        ]
        yield Stage("reading_pages", {"pages": pages})
        passages = [(hit.document, hit.passage) for hit in found.hits]
        passages = citations.about(question, passages, documents, found.chosen)
        if not passages:
            yield _nothing()
            return
        evidence = citations.Evidence(question, citations.candidates(passages), documents)
        reading = _Reading(self._model, self._settings)
        async for event in reading.stream(question, found.hits):
            yield event
        reply, bearing = reading.reply, evidence.bearing(reading.reply)
        match = evidence.best_match()
        if match and not evidence.convincing(reply, bearing) and len(reading.read) > 1:
            # Several passages confuse a small model: let it read the best one alone.
            async for event in reading.stream(question, [hit for hit in found.hits if hit.passage is match.passage]):
                yield event
            bearing_second = evidence.bearing(reading.reply)
            if not bearing or evidence.convincing(reading.reply, bearing_second):
                reply, bearing = reading.reply, bearing_second
        held = citations.cite(bearing[:1])
        if held.citations:
            yield Answer(answer=reply, support="supported", citations=held.citations, mode="two-step")
            return
        quoted = citations.cite([match] if match else [])
        dropped = held.dropped + quoted.dropped
        if quoted.citations:
            yield Answer(
                answer=quoted.citations[0].quote,
                support="quoted",
                citations=quoted.citations,
                mode="two-step",
                dropped_citations=dropped,
            )
        else:
            yield _nothing().model_copy(update={"dropped_citations": dropped})


class _Reading:
    """The model's answer from some passages: what it read, and its words, empty if it found none."""

    def __init__(self, model: ModelClient, settings: Settings) -> None:
        self._model = model
        self._settings = settings
        self.read: list[Hit] = []
        self.reply = ""

    async def stream(self, question: str, hits: Sequence[Hit]) -> AsyncGenerator[Event, None]:
        room = self._settings.context_chars
        for _ in range(3):
            self.read, self.reply = _within(hits, room), ""
            yield Stage("answering")
            try:
                async with aclosing(self._model.answer(_prompt(question, self.read), STOP)) as pieces:
                    async for piece in pieces:
                        self.reply += piece
                        yield Token(piece)
            except PromptTooLong:
                room //= 2
                continue
            break
        self.reply = self.reply.strip()
        if "not in the text" in self.reply.lower():
            self.reply = ""


def _nothing() -> Answer:
    return Answer(answer=NOT_FOUND, support="none", citations=[], mode="two-step")


def _within(hits: Sequence[Hit], room: int) -> list[Hit]:
    """As many of the best passages as fit; always one."""
    kept: list[Hit] = []
    for hit in hits:
        room -= len(hit.passage.text) + len(hit.passage.heading or "") + 2
        if room < 0 and kept:
            break
        kept.append(hit)
    return kept


def _prompt(question: str, hits: Sequence[Hit]) -> list[dict[str, str]]:
    # The best passage comes last: a small model reads best what stands next to the question.
    parts = [f"{hit.passage.heading}\n{hit.passage.text}" if hit.passage.heading else hit.passage.text for hit in hits]
    context = "\n\n".join(reversed(parts))
    return [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": f"Text:\n{context}\n\nQuestion: {question}"},
    ]
