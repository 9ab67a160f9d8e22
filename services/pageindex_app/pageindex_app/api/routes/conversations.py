"""Routes about conversations; each client sees its own."""

from typing import Any

from fastapi import APIRouter, Response

from ..dependencies import AppServices, Client

router = APIRouter(tags=["conversations"])


@router.get("/api/conversations")
def list_conversations(services: AppServices, client: Client) -> dict[str, Any]:
    found = services.conversations.list(client)
    return {
        "conversations": [
            {
                "id": conversation.id,
                "title": conversation.title,
                "created_at": conversation.created_at,
                "updated_at": conversation.updated_at,
                "messages": len(conversation.messages),
            }
            for conversation in found
        ]
    }


@router.post("/api/conversations", status_code=201)
def begin(services: AppServices, client: Client) -> dict[str, str]:
    return {"id": services.conversations.create(client).id}


@router.get("/api/conversations/{conversation_id}")
def get_conversation(services: AppServices, client: Client, conversation_id: str) -> dict[str, Any]:
    found = services.conversations.get(client, conversation_id)
    return found.model_dump(include={"id", "title", "messages"})


@router.delete("/api/conversations/{conversation_id}", status_code=204)
def delete_conversation(services: AppServices, client: Client, conversation_id: str) -> Response:
    services.conversations.delete(client, conversation_id)
    return Response(status_code=204)
