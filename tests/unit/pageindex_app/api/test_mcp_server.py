"""The MCP server, asked by the official client over HTTP."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from conftest import SAMPLES, settings_for
from fake_model import FakeModel, fake_model
from mcp import Client
from pageindex_app.api.factory import create_app
from pageindex_app.api.mcp_front.replies import REPLY_CHARS, in_parts
from pdfs import pdf
from serving import served
from waiting import indexed

HARBOUR, MANUAL = "harbour-report-2025.pdf", "tide-buoy-manual.md"
pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, FakeModel]]:
    with fake_model() as model, served(create_app(settings_for(model, tmp_path_factory.mktemp("mcp")))) as url:
        with httpx.Client(base_url=url) as http:
            for name in (HARBOUR, MANUAL):
                indexed(http, name, (SAMPLES / name).read_bytes())
        yield url, model


async def call(running: tuple[str, FakeModel], tool: str, **arguments: Any) -> dict[str, Any]:
    """What a tool answers, as data."""
    async with Client(f"{running[0]}/mcp") as client:
        result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    assert json.loads(result.content[0].text) == result.structured_content  # for clients that read text alone
    return dict(result.structured_content)


async def fault(running: tuple[str, FakeModel], tool: str, **arguments: Any) -> str:
    """The sentence with which a tool refuses."""
    async with Client(f"{running[0]}/mcp") as client:
        result = await client.call_tool(tool, arguments)
    assert result.is_error
    return str(result.content[0].text)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_the_tools_have_pageindexs_names_and_none_writes(running: tuple[str, FakeModel], mode: Any) -> None:
    async with Client(f"{running[0]}/mcp", mode=mode) as client:
        tools = (await client.list_tools()).tools
        assert "never an instruction" in (client.instructions or "")
    assert [tool.name for tool in tools] == [
        "browse_documents",
        "get_document",
        "get_document_structure",
        "get_page_content",
        "search_documents",
        "ask",
    ]
    assert all(tool.description and tool.output_schema for tool in tools)
    assert all(tool.annotations and tool.annotations.read_only_hint for tool in tools)


async def test_documents_are_browsed_page_by_page(running: tuple[str, FakeModel]) -> None:
    first = await call(running, "browse_documents", limit=1)
    assert (len(first["documents"]), first["total"], first["next_offset"]) == (1, 2, 1)
    second = await call(running, "browse_documents", limit=1, offset=1)
    assert second["next_offset"] is None
    assert {entry["documents"][0]["name"] for entry in (first, second)} == {HARBOUR, MANUAL}
    assert first["documents"][0]["status"] == "completed"


async def test_a_document_is_found_by_its_name_and_by_its_id(running: tuple[str, FakeModel]) -> None:
    by_name = await call(running, "get_document", doc_name=HARBOUR)
    assert by_name["page_count"] == 7
    assert await call(running, "get_document", doc_name=by_name["id"]) == by_name


async def test_the_structure_is_pageindexs_tree_without_the_text(running: tuple[str, FakeModel]) -> None:
    reply = await call(running, "get_document_structure", doc_name=HARBOUR)
    assert [node["start_index"] for node in reply["structure"]] == [1, 2, 3, 4, 5, 6, 7]
    assert all("text" not in node for node in reply["structure"])
    assert (reply["part"], reply["total_parts"]) == (1, 1)
    assert "no part 2" in await fault(running, "get_document_structure", doc_name=HARBOUR, part=2)


async def test_pages_are_read_as_they_are_named(running: tuple[str, FakeModel]) -> None:
    reply = await call(running, "get_page_content", doc_name=HARBOUR, pages="4,1-2,4")
    assert [page["page"] for page in reply["content"]] == [4, 1, 2]
    assert "11.8 metres deep" in reply["content"][0]["text"]
    assert (reply["total_pages"], reply["left_out"]) == (7, [])


async def test_search_finds_the_page_without_asking_the_model(running: tuple[str, FakeModel]) -> None:
    running[1].requests.clear()
    reply = await call(running, "search_documents", query="approach channel dredged", limit=3)
    assert (reply["hits"][0]["document"], reply["hits"][0]["page"]) == (HARBOUR, 4)
    only = await call(running, "search_documents", query="channel", doc_names=[MANUAL])
    assert {hit["document"] for hit in only["hits"]} <= {MANUAL}
    assert running[1].requests == []


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_ask_answers_with_citations_and_tells_how_far_it_is(running: tuple[str, FakeModel], mode: Any) -> None:
    stages: list[str | None] = []

    async def told(progress: float, total: float | None, message: str | None) -> None:
        stages.append(message)

    async with Client(f"{running[0]}/mcp", mode=mode) as client:
        question = {"question": "How deep is the approach channel at lowest tide?"}
        result = await client.call_tool("ask", question, progress_callback=told)
    assert not result.is_error, result.content
    assert "11.8" in result.structured_content["answer"]
    assert result.structured_content["citations"][0]["pages"] == [4]
    assert stages[:1] == ["choosing sections"]


async def test_ask_reads_only_the_named_documents(running: tuple[str, FakeModel]) -> None:
    reply = await call(running, "ask", question="Who calibrates the sensor?", doc_names=[MANUAL])
    assert {citation["document"] for citation in reply["citations"]} == {MANUAL}


@pytest.mark.parametrize(
    ("tool", "arguments", "told"),
    [
        ("get_document", {"doc_name": "../../etc/passwd"}, "There is no document"),
        ("get_page_content", {"doc_name": HARBOUR, "pages": "8"}, "pages 1 to 7"),
        ("get_page_content", {"doc_name": HARBOUR, "pages": "3-2"}, "pages 1 to 7"),
        ("get_page_content", {"doc_name": HARBOUR, "pages": "1-999999999"}, "pages 1 to 7"),
        ("get_page_content", {"doc_name": HARBOUR, "pages": "all"}, "pages"),
        ("browse_documents", {"limit": 1000}, "limit"),
        ("ask", {"question": "x" * 4001}, "question"),
        ("ask", {"question": "Who?", "doc_names": ["missing.pdf"]}, "missing.pdf"),
    ],
)
async def test_a_refusal_says_what_is_wrong(
    running: tuple[str, FakeModel], tool: str, arguments: dict[str, Any], told: str
) -> None:
    assert told in await fault(running, tool, **arguments)


async def test_a_model_that_does_not_answer_is_said(running: tuple[str, FakeModel]) -> None:
    running[1].failing = 401
    try:
        assert "not available" in await fault(running, "ask", question="How deep is the channel?")
    finally:
        running[1].failing = None


async def test_a_failed_document_is_listed_with_its_reason_and_not_read(running: tuple[str, FakeModel]) -> None:
    with httpx.Client(base_url=running[0]) as http:
        scanned = indexed(http, "scanned.pdf", pdf(b""))
        try:
            assert scanned["status"] == "failed"
            entry = await call(running, "get_document", doc_name="scanned.pdf")
            assert entry["status"] == "failed"
            assert entry["error"]
            assert "cannot be read" in await fault(running, "get_page_content", doc_name="scanned.pdf", pages="1")
        finally:
            http.delete(f"/api/documents/{scanned['id']}")


def test_a_large_outline_comes_in_parts_that_lose_nothing() -> None:
    leaves = [{"title": f"Section {number}", "summary": "s" * 1000} for number in range(200)]
    tree = [{"title": "Book", "nodes": leaves}, {"title": "Annex"}]
    parts = list(in_parts(tree))
    assert len(parts) > 3
    assert all(len(json.dumps(part)) <= 1.1 * REPLY_CHARS for part in parts)
    titles = [node["title"] for part in parts for node in part]
    assert titles == ["Book", *(leaf["title"] for leaf in leaves), "Annex"]
