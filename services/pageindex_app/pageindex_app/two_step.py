"""Two plain calls for models that cannot call tools: choose sections, then answer from their pages."""

from collections.abc import Sequence

from . import citations
from .answering import Answer, Source
from .model import ModelClient, PromptTooLong
from .retrieval import ALL_PARTS, Hit, Parts, retrieve
from .settings import Settings

NOT_FOUND = "The documents do not answer this question."
SYSTEM = (
    "You answer questions from a text. Use only the text. Answer in one short sentence and copy names, "
    "numbers and units exactly. If the text does not contain the answer, reply: not in the text."
)
# A small model goes on inventing questions or repeating the text after its answer.
STOP = ["\n\n", "\nQuestion:", "\nText:"]


class TwoStep:
    """Retrieval by tree and words, an answer from a short context, quotes checked against the pages."""

    def __init__(self, model: ModelClient, settings: Settings, parts: Parts = ALL_PARTS) -> None:
        self._model = model
        self._settings = settings
        self._parts = parts

    async def answer(self, question: str, sources: Sequence[Source]) -> Answer:
        documents = [source.index for source in sources]
        found = await retrieve(question, documents, self._model, self._settings, self._parts)
        if not found.hits:
            return _nothing()
        sentences = citations.candidates([(hit.document, hit.passage) for hit in found.hits])
        evidence = citations.Evidence(question, sentences, documents)
        read, reply = await self._read(question, found.hits)
        bearing = evidence.bearing(reply)
        match = evidence.best_match()
        if match and not evidence.convincing(reply, bearing) and len(read) > 1:
            # A small model loses the thread in several passages: let it read the best one alone.
            _, second = await self._read(question, [hit for hit in found.hits if hit.passage is match.passage])
            bearing_second = evidence.bearing(second)
            if not bearing or evidence.convincing(second, bearing_second):
                reply, bearing = second, bearing_second
        if cited := citations.cite(bearing[:1]):
            return Answer(answer=reply, support="supported", citations=cited, mode="two-step")
        if cited := citations.cite([match] if match else []):
            return Answer(answer=cited[0].quote, support="quoted", citations=cited, mode="two-step")
        return _nothing()

    async def _read(self, question: str, hits: Sequence[Hit]) -> tuple[list[Hit], str]:
        """What was read, and the model's answer from it; empty if it says that there is none."""
        room = self._settings.context_chars
        read: list[Hit] = []
        for _ in range(3):
            read = _within(hits, room)
            try:
                reply = await self._model.answer(_prompt(question, read), STOP)
            except PromptTooLong:
                room //= 2
                continue
            return read, "" if "not in the text" in reply.lower() else reply
        return read, ""


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
