"""Conversations belong to a client, and give a question its context."""

import pytest
from fastapi.testclient import TestClient

QUESTION = "How deep is the approach channel at lowest tide?"


def test_a_conversation_keeps_what_was_said_and_belongs_to_one_client(client: TestClient) -> None:
    alice, bob = {"X-Client": "alice"}, {"X-Client": "bob"}
    made = client.post("/api/conversations", headers=alice)
    assert made.status_code == 201
    path = f"/api/conversations/{made.json()['id']}"
    asked = {"question": QUESTION, "conversation_id": made.json()["id"]}
    answer = client.post("/api/ask", json=asked, headers=alice).json()
    assert answer["conversation_id"] == made.json()["id"]
    kept = client.get(path, headers=alice).json()
    assert kept["title"] == QUESTION
    assert [message["role"] for message in kept["messages"]] == ["user", "assistant"]
    assert kept["messages"][1]["answer"] == answer
    (listed,) = client.get("/api/conversations", headers=alice).json()["conversations"]
    assert (listed["id"], listed["title"], listed["messages"]) == (kept["id"], QUESTION, 2)
    assert client.get("/api/conversations", headers=bob).json() == {"conversations": []}
    assert client.get(path, headers=bob).status_code == 404
    assert client.post("/api/ask", json=asked, headers=bob).status_code == 404
    assert client.delete(path, headers=bob).status_code == 404
    assert client.delete(path, headers=alice).status_code == 204
    assert client.get(path, headers=alice).status_code == 404


@pytest.mark.parametrize("identity", ["../../../etc/passwd", "..%2f..%2fx", "conv-" + "0" * 32, "conv-x"])
def test_a_conversation_that_is_none_is_not_found(client: TestClient, identity: str) -> None:
    assert client.get(f"/api/conversations/{identity}").status_code == 404


def test_a_follow_up_is_read_with_the_question_before_it(client: TestClient) -> None:
    conversation = client.post("/api/conversations").json()["id"]
    client.post("/api/ask", json={"question": QUESTION, "conversation_id": conversation})
    again = client.post("/api/ask", json={"question": "And who measured it?", "conversation_id": conversation}).json()
    client.delete(f"/api/conversations/{conversation}")
    assert [page for citation in again["citations"] for page in citation["pages"]] == [4]
