"""The models that OpenAI's clients can choose from: one for all documents, and one for each."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from ...base.errors import AppError
from ...documents.document import Document
from ...documents.library import Library

ALL_DOCUMENTS = "pageindex"
# No slash: clients put a model's id into a path, and an escaped slash is refused by careful proxies.
ONE_DOCUMENT = f"{ALL_DOCUMENTS}:"


def model_of_all(documents: Sequence[Document]) -> dict[str, Any]:
    created = max((_epoch_s(document) for document in documents), default=0)
    return _as_model(ALL_DOCUMENTS, "All documents", created)


def model_of(document: Document) -> dict[str, Any]:
    return _as_model(f"{ONE_DOCUMENT}{document.id}", document.name, _epoch_s(document))


def _as_model(identity: str, name: str, created: int) -> dict[str, Any]:
    return {"id": identity, "object": "model", "created": created, "owned_by": ALL_DOCUMENTS, "name": name}


def _epoch_s(document: Document) -> int:
    return int(datetime.fromisoformat(document.created_at).timestamp())


def document_of(library: Library, model: str) -> Document | None:
    """The document that the model stands for, by its id or its name; None for all."""
    if model == ALL_DOCUMENTS:
        return None
    wanted = model.removeprefix(ONE_DOCUMENT)
    for document in library.ready() if model != wanted else ():
        if wanted in (document.id, document.name):
            return document
    raise AppError(
        404,
        "model_not_found",
        f"The model {model[:200]!r} does not exist.",
        f"GET /v1/models lists {ALL_DOCUMENTS} and one model for each document.",
    )
