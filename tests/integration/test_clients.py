"""The official clients of OpenAI and MCP against the deployed stack: through the gateway, with a client's key.

Takes over 60 s because documents are indexed by the model.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from openai import OpenAI

from tests.integration.conftest import Stack
from tests.integration.documents import indexed

pytestmark = pytest.mark.integration
LEASE, MANUAL = "warehouse-lease.pdf", "tide-buoy-manual.md"
QUESTION = "How much is the rent per month?"


@pytest.fixture(scope="module")
def documents(stack: Stack, sample: Callable[[str], Path]) -> Iterator[dict[str, str]]:
    """Ids of two samples by their names."""
    with stack.client() as http:
        found = {name: indexed(http, name, sample(name).read_bytes()) for name in (LEASE, MANUAL)}
        assert {document["status"] for document in found.values()} == {"ready"}, found
        yield {name: document["id"] for name, document in found.items()}
        for document in found.values():
            http.delete(f"/api/documents/{document['id']}")


@pytest.fixture
def client(stack: Stack) -> Iterator[OpenAI]:
    outputs = stack.project.outputs()
    with OpenAI(base_url=f"{outputs['app_url']}/v1", api_key=outputs["api_key"], timeout=300) as client:
        yield client


def test_openais_client_chats_with_all_documents(client: OpenAI, documents: dict[str, str]) -> None:
    reply = client.chat.completions.create(model="pageindex", messages=[{"role": "user", "content": QUESTION}])
    text = reply.choices[0].message.content or ""
    assert "38,500" in text
    assert f"{LEASE}, page 2" in text
    more = reply.model_extra or {}
    assert (more["citations"][0]["document"], more["citations"][0]["pages"]) == (LEASE, [2])
    assert more["support"] in ("supported", "quoted")
    assert reply.usage
    assert reply.usage.prompt_tokens > 50
    assert reply.usage.completion_tokens > 0


def test_openais_client_streams_through_the_gateway(client: OpenAI, documents: dict[str, str]) -> None:
    chunks = client.chat.completions.create(
        model=f"pageindex:{documents[LEASE]}",
        messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": QUESTION}],
        stream=True,
        stream_options={"include_usage": True},
        temperature=0.3,
    )
    text, stages, usage = "", [], None
    for chunk in chunks:
        text += "".join(choice.delta.content or "" for choice in chunk.choices)
        stages += [(chunk.model_extra or {}).get("pageindex", {}).get("stage")]
        usage = chunk.usage or usage
    assert "38,500" in text
    assert {"choosing_sections", "reading_pages", "answering"} <= set(stages)
    assert usage
    assert usage.prompt_tokens > 50


def test_each_document_is_a_model_for_openais_client(client: OpenAI, documents: dict[str, str]) -> None:
    listed = {model.id: (model.model_extra or {})["name"] for model in client.models.list()}
    assert listed["pageindex"] == "All documents"
    assert listed[f"pageindex:{documents[LEASE]}"] == LEASE
    assert client.models.retrieve(f"pageindex:{documents[MANUAL]}").id == f"pageindex:{documents[MANUAL]}"
    with pytest.raises(openai.NotFoundError) as unknown:
        client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": QUESTION}])
    assert unknown.value.code == "model_not_found"


def test_openais_client_without_a_key_is_refused(client: OpenAI) -> None:
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="not-a-key", max_retries=0).models.list()


@asynccontextmanager
async def connected(stack: Stack, mode: Any) -> AsyncIterator[Client]:
    """The official MCP client, with the key in its headers."""
    outputs = stack.project.outputs()
    headers = {"Authorization": f"Bearer {outputs['api_key']}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=300, trust_env=False) as http,
        Client(streamable_http_client(f"{outputs['app_url']}/mcp", http_client=http), mode=mode) as client,
    ):
        yield client


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_mcps_client_walks_a_document_and_asks(stack: Stack, documents: dict[str, str], mode: str) -> None:
    async def walk() -> None:
        async with connected(stack, mode) as client:

            async def call(tool: str, **arguments: Any) -> Any:
                result = await client.call_tool(tool, arguments)
                assert not result.is_error, result.content
                return result.structured_content

            tools = {tool.name: tool for tool in (await client.list_tools()).tools}
            assert {"browse_documents", "get_document_structure", "get_page_content", "ask"} <= set(tools)
            assert all(tool.annotations and tool.annotations.read_only_hint for tool in tools.values())
            names = {entry["name"] for entry in (await call("browse_documents", limit=50))["documents"]}
            assert {LEASE, MANUAL} <= names
            structure = (await call("get_document_structure", doc_name=LEASE))["structure"]
            assert any("Rent" in str(node) for node in structure)
            page = (await call("get_page_content", doc_name=LEASE, pages="2"))["content"][0]
            assert "38,500 crowns" in page["text"]
            hits = (await call("search_documents", query="calibration of the pressure sensor"))["hits"]
            assert hits[0]["document"] == MANUAL
            answer = await call("ask", question=QUESTION, doc_names=[LEASE])
            assert "38,500" in answer["answer"]
            assert answer["citations"][0]["pages"] == [2]
            refused = await client.call_tool("get_page_content", {"doc_name": LEASE, "pages": "99"})
            assert refused.is_error

    # In a thread of its own: Playwright's synchronous API holds the main thread's event loop as long as a browser runs.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, walk()).result()


def test_mcp_without_a_key_or_under_a_foreign_name_is_refused(stack: Stack) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    headers = {"Accept": "application/json, text/event-stream"}
    with stack.client(with_key=False) as http:
        assert http.post("/mcp", json=body, headers=headers).status_code == 401
    with stack.client() as http:
        assert http.post("/mcp", json=body, headers={**headers, "Host": "evil.example"}).status_code in (404, 421)
