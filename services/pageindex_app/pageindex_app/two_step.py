"""Two plain calls for models that cannot call tools: choose sections, then answer from their pages."""

from collections.abc import Sequence

from . import citations
from .answering import Answer, Source
from .model import ModelClient, PromptTooLong
from .retrieval import Hit, Parts, retrieve
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

    def __init__(self, model: ModelClient, settings: Settings, parts: Parts = Parts()) -> None:
        self._model = model
        self._settings = settings
        self._parts = parts

    async def answer(self, question: str, sources: Sequence[Source]) -> Answer:
        documents = [source.index for source in sources]
        found = await retrieve(question, documents, self._model, self._settings, self._parts)
        room = self._settings.context_chars
        reply, read = "", found.hits
        for _ in range(3):
            read = _within(found.hits, room)
            try:
                reply = await self._model.answer(_prompt(question, read), STOP)
                break
            except PromptTooLong:
                room //= 2
        sentences = citations.candidates([(hit.document, hit.passage) for hit in read])
        bearing = citations.support(reply, question, sentences, documents) if _says_something(reply) else []
        cited = citations.cite(bearing[:1])
        if cited:
            return Answer(answer=reply, support="supported", citations=cited, mode="two-step")
        quoted = citations.best_match(question, sentences, documents)
        cited = citations.cite([quoted]) if quoted else []
        if cited:
            return Answer(answer=cited[0].quote, support="quoted", citations=cited, mode="two-step")
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


def _says_something(reply: str) -> bool:
    return bool(reply.strip()) and "not in the text" not in reply.lower()
