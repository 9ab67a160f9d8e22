"""Conversations, kept per client on the volume: one file each.

<data>/conversations/<hash of the client's name>/<conversation id>.json
"""

import hashlib
import re
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ValidationError

from ..base.clock import timestamp
from ..base.errors import AppError
from ..base.files import write_atomically
from .strategy import Answer, Turn

CONVERSATIONS_MOST = 200  # of one client; the oldest is removed when another is begun
MESSAGES_MOST = 400  # in one conversation; the oldest are removed
TITLE_CHARS = 80
_ID = re.compile(r"conv-[0-9a-f]{32}")


class Message(BaseModel):
    role: Literal["user", "assistant"]
    content: str
    answer: Answer | None = None
    created_at: str


class Conversation(BaseModel):
    id: str
    title: str = ""
    created_at: str
    updated_at: str
    messages: list[Message] = []


class Conversations:
    """A client sees its own only. The files are small and are read when asked for."""

    def __init__(self, data_dir: Path) -> None:
        self._root = data_dir / "conversations"

    def list(self, client: str) -> list[Conversation]:
        """The client's conversations, the one used last first."""
        return sorted(self._all(client), key=lambda conversation: (conversation.updated_at, conversation.id))[::-1]

    def create(self, client: str) -> Conversation:
        known = self.list(client)
        for old in known[CONVERSATIONS_MOST - 1 :]:
            self._path(client, old.id).unlink(missing_ok=True)
        at = timestamp()
        conversation = Conversation(id=f"conv-{uuid.uuid4().hex}", created_at=at, updated_at=at)
        self._save(client, conversation)
        return conversation

    def get(self, client: str, conversation_id: str) -> Conversation:
        try:
            return Conversation.model_validate_json(self._path(client, conversation_id).read_bytes())
        except (OSError, ValidationError):
            raise _unknown(conversation_id) from None

    def delete(self, client: str, conversation_id: str) -> None:
        try:
            self._path(client, conversation_id).unlink()
        except OSError:
            raise _unknown(conversation_id) from None

    def turns(self, client: str, conversation_id: str) -> Sequence[Turn]:
        """What was said so far."""
        messages = self.get(client, conversation_id).messages
        return [Turn(message.role, message.content) for message in messages]

    def add(self, client: str, conversation_id: str, question: str, answer: Answer) -> None:
        """Keep a question and its answer; one that was deleted meanwhile stays deleted."""
        try:
            conversation = self.get(client, conversation_id)
        except AppError:
            return
        at = timestamp()
        conversation.messages += [
            Message(role="user", content=question, created_at=at),
            Message(role="assistant", content=answer.answer, answer=answer, created_at=at),
        ]
        conversation.messages = conversation.messages[-MESSAGES_MOST:]
        conversation.title = conversation.title or " ".join(question.split())[:TITLE_CHARS]
        conversation.updated_at = at
        self._save(client, conversation)

    def _all(self, client: str) -> Iterator[Conversation]:
        folder = self._folder(client)
        for path in folder.glob("conv-*.json") if folder.is_dir() else ():
            try:
                yield Conversation.model_validate_json(path.read_bytes())
            except (OSError, ValidationError):
                continue

    def _folder(self, client: str) -> Path:
        # A hash: a client's name may hold anything, and the folder's name must not.
        return self._root / hashlib.sha256(client.encode()).hexdigest()[:32]

    def _path(self, client: str, conversation_id: str) -> Path:
        if not _ID.fullmatch(conversation_id):
            raise _unknown(conversation_id)
        return self._folder(client) / f"{conversation_id}.json"

    def _save(self, client: str, conversation: Conversation) -> None:
        path = self._path(client, conversation.id)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, conversation.model_dump_json().encode())


def _unknown(conversation_id: str) -> AppError:
    return AppError(
        404,
        "conversation_not_found",
        f"There is no conversation {conversation_id!r}.",
        "GET /api/conversations lists yours; POST /api/conversations begins one.",
    )
