"""The OpenAI-compatible front, asked by OpenAI's own client."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import pytest
from conftest import SAMPLES, settings_for
from fake_model import FakeModel, fake_model
from openai import OpenAI
from pageindex_app.api.factory import create_app
from serving import served
from waiting import indexed

QUESTION = "How deep is the approach channel at lowest tide?"
HARBOUR, MANUAL = "harbour-report-2025.pdf", "tide-buoy-manual.md"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, FakeModel]]:
    with fake_model() as model, served(create_app(settings_for(model, tmp_path_factory.mktemp("openai")))) as url:
        with httpx.Client(base_url=url) as http:
            for name in (HARBOUR, MANUAL):
                indexed(http, name, (SAMPLES / name).read_bytes())
        yield url, model


@pytest.fixture
def model(running: tuple[str, FakeModel]) -> Iterator[FakeModel]:
    yield running[1]
    running[1].answer, running[1].failing = None, None


@pytest.fixture
def client(running: tuple[str, FakeModel]) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{running[0]}/v1", api_key="unused", max_retries=0, timeout=60) as client:
        yield client


def named(client: OpenAI, name: str) -> str:
    """The id of the model that stands for a document."""
    return next(model.id for model in client.models.list() if (model.model_extra or {})["name"] == name)


def ask(client: OpenAI, question: str = QUESTION, model: str = "pageindex") -> openai.types.chat.ChatCompletion:
    return client.chat.completions.create(model=model, messages=[{"role": "user", "content": question}])


def test_all_documents_are_a_model_and_each_document_is_one(client: OpenAI) -> None:
    models = list(client.models.list())
    assert models[0].id == "pageindex"
    assert {(model.model_extra or {})["name"] for model in models} == {"All documents", HARBOUR, MANUAL}
    assert all(model.object == "model" and model.owned_by == "pageindex" for model in models)
    one = client.models.retrieve(named(client, HARBOUR))
    assert (one.model_extra or {})["name"] == HARBOUR
    assert one.created > 1_700_000_000


def test_an_answer_has_footnotes_for_people_and_citations_for_programs(client: OpenAI) -> None:
    reply = ask(client)
    text = reply.choices[0].message.content or ""
    assert text.splitlines()[0].endswith("[1]")
    assert "11.8" in text.splitlines()[0]
    assert "\n\nSources:\n\n1. harbour-report-2025.pdf, page 4 (3. Works" in text
    (citation,) = (reply.model_extra or {})["citations"]
    assert (citation["document"], citation["pages"]) == (HARBOUR, [4])
    assert citation["quote"] in text
    assert (reply.model_extra or {})["support"] == "supported"
    assert reply.choices[0].finish_reason == "stop"


def test_usage_is_what_the_models_server_counted(client: OpenAI) -> None:
    usage = ask(client).usage
    assert usage is not None
    assert usage.prompt_tokens >= 2  # the fake model counts one for each call, and there are two at least
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


def test_a_documents_model_answers_from_that_document_alone(client: OpenAI) -> None:
    for model in (named(client, MANUAL), f"pageindex:{MANUAL}"):
        citations = (ask(client, "Who calibrates the sensor?", model).model_extra or {})["citations"]
        assert {citation["document"] for citation in citations} == {MANUAL}


def test_a_stream_gives_the_same_text_as_an_answer_at_once(client: OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(
            model="pageindex",
            messages=[{"role": "user", "content": QUESTION}],
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == ask(client).choices[0].message.content
    stages = [(chunk.model_extra or {}).get("pageindex", {}).get("stage") for chunk in chunks]
    assert [stage for stage in stages if stage][:2] == ["choosing_sections", "reading_pages"]
    *_, last, usage = chunks
    assert last.choices[0].finish_reason == "stop"
    assert (last.model_extra or {})["citations"][0]["pages"] == [4]
    assert usage.choices == []
    assert usage.usage is not None
    assert usage.usage.prompt_tokens >= 2
    assert len({chunk.id for chunk in chunks}) == 1


def test_what_the_model_wrote_is_not_streamed_when_the_pages_do_not_bear_it_out(
    client: OpenAI, model: FakeModel
) -> None:
    model.answer = lambda _: "The channel is 99.5 metres deep."
    with client.chat.completions.create(
        model="pageindex", messages=[{"role": "user", "content": QUESTION}], stream=True
    ) as chunks:
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert "99.5" not in text
    assert "11.8" in text


def test_requests_as_open_webui_makes_them_are_answered(running: tuple[str, FakeModel]) -> None:
    body = {
        "stream": True,
        "model": "pageindex",
        "messages": [
            {"role": "system", "content": "You are a pirate."},
            {"role": "user", "content": [{"type": "text", "text": QUESTION}]},
        ],
        "stream_options": {"include_usage": True},
        "temperature": 0.7,
        "top_p": 0.9,
        "max_tokens": 1000,
        "seed": 7,
        "stop": ["x"],
        "user": {"name": "A"},
        "metadata": {"chat_id": "1"},
    }
    reply = httpx.post(f"{running[0]}/v1/chat/completions", json=body, timeout=60)
    assert reply.status_code == 200
    assert reply.headers["content-type"].startswith("text/event-stream")
    events = [line.removeprefix("data: ") for line in reply.text.splitlines() if line.startswith("data: ")]
    assert events[-1] == "[DONE]"
    assert json.loads(events[0])["choices"][0]["delta"] == {"role": "assistant", "content": ""}


def test_earlier_messages_are_history_without_our_own_footnotes(client: OpenAI, model: FakeModel) -> None:
    first = ask(client).choices[0].message.content
    model.requests.clear()
    client.chat.completions.create(
        model="pageindex",
        messages=[
            {"role": "user", "content": QUESTION},
            {"role": "assistant", "content": first},
            {"role": "user", "content": "Who dredged the approach channel?"},
        ],
    )
    asked = [json.dumps(request["messages"]) for request in model.requests]
    assert any("Who dredged" in prompt for prompt in asked)
    assert not any("Sources:" in prompt for prompt in asked)


@pytest.mark.parametrize("model", ["gpt-4o", "pageindex:doc-0000000000000000", "pageindex/", "default"])
def test_an_unknown_model_is_not_found(client: OpenAI, model: str) -> None:
    with pytest.raises(openai.NotFoundError) as refused:
        ask(client, model=model)
    assert (refused.value.code, refused.value.param) == ("model_not_found", "model")
    assert refused.value.type == "invalid_request_error"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve(model)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n", 2),
        ("tools", [{"type": "function", "function": {"name": "f", "parameters": {}}}]),
        ("response_format", {"type": "json_object"}),
        ("logprobs", True),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(client: OpenAI, field: str, value: object) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(
            model="pageindex", messages=[{"role": "user", "content": QUESTION}], extra_body={field: value}
        )
    assert (refused.value.code, refused.value.param) == ("unsupported_parameter", field)


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        ([], "invalid_request"),
        ([{"role": "assistant", "content": "Hello"}], "no_question"),
        ([{"role": "user", "content": " "}], "no_question"),
        ([{"role": "user", "content": "x" * 4001}], "question_too_long"),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}], "unsupported_content"),
        ([{"role": "pirate", "content": "Hello"}], "invalid_request"),
    ],
)
def test_faulty_messages_are_refused_in_openais_shape(
    client: OpenAI, messages: list[dict[str, object]], code: str
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model="pageindex", messages=messages)  # type: ignore[arg-type]
    assert refused.value.code == code
    assert "xxxx" not in str(refused.value)


def test_a_model_server_that_fails_is_an_error_at_once_and_in_a_stream(client: OpenAI, model: FakeModel) -> None:
    model.failing = 401
    with pytest.raises(openai.InternalServerError) as failed:
        ask(client)
    assert (failed.value.status_code, failed.value.code) == (503, "model_unavailable")
    with pytest.raises(openai.APIError, match="not available"):
        list(
            client.chat.completions.create(
                model="pageindex", messages=[{"role": "user", "content": QUESTION}], stream=True
            )
        )


def test_an_empty_library_is_said_and_not_asked_again(tmp_path: Path) -> None:
    with (
        fake_model() as model,
        served(create_app(settings_for(model, tmp_path))) as url,
        OpenAI(base_url=f"{url}/v1", api_key="unused", timeout=60) as client,
    ):
        assert [model.id for model in client.models.list()] == ["pageindex"]
        with pytest.raises(openai.BadRequestError) as refused:
            ask(client)
    assert refused.value.code == "no_documents"


def test_without_an_answer_there_are_no_footnotes(client: OpenAI) -> None:
    reply = ask(client, "Zyxwv qwertz uiop?")
    assert reply.choices[0].message.content == "The documents do not answer this question."
    assert ((reply.model_extra or {})["support"], (reply.model_extra or {})["citations"]) == ("none", [])
