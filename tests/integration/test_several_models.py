"""Two real models in one stack: each answers by its name through one door, and one is replaced without the other.

Takes over 60 s because two vLLMs start beside each other, and one of them once more.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator

import httpx
import openai
import pytest

from checks.answers import EXPECTED_WORD, question_to
from checks.documents import QUESTION, SAMPLE
from planning.stack_files import area_in
from tests.integration.conftest import ON_ANY_CORE, Stack, brought_up, dev_config
from tests.integration.load import Load
from tests.integration.pulumi_project import Project, docker, free_port, replica, started_at
from tests.polling import until

# One section, twice what the window of `quick` holds: vLLM refuses it whole, and a document without any summary fails.
LONG = "# Harbour\n\n" + "The pilots of Aldmoor keep a log of every tide and of every ship that enters. " * 400

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1800)]
NARROW_KEY = "narrow-client-" + "n" * 40
SMALL = {
    "model": "smollm2-135m-instruct", "image": "vllm-cpu", "device": "cpu", "max_model_len": 4096, "max_num_seqs": 4,
    "cpu_kv_cache_gib": 1, "memory_gib": 6.0, "enforce_eager": True, "extra_env": ON_ANY_CORE,
}  # fmt: skip


@pytest.fixture(scope="module")
def duo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    project = Project(tmp_path_factory.mktemp("duo"), f"duo-{uuid.uuid4().hex[:6]}")
    settings = dev_config(free_port(), free_port())
    del settings["model"], settings["vllm"]
    settings["models"] = {
        "chat": {**SMALL, "max_model_len": 8192},
        "quick": {**SMALL, "rollout": "blue-green"},
    }
    settings["default_model"] = "chat"
    settings["pageindex"] = {**settings.get("pageindex", {}), "models": {"summary": "quick"}}
    settings["gateway"] |= {"clients": {"narrow": {"models": ["quick"]}}, "tokenize": True}
    project.write_stack_file(settings)
    project.pulumi("stack", "init", project.stack)
    for name, key in (("all", "all-clients-" + "a" * 40), ("narrow", NARROW_KEY)):
        project.pulumi("config", "set", "--stack", project.stack, "--secret", "--path", f"api_keys.{name}", key)
    settings["api_keys"] = area_in(project.stack_file, "api_keys")
    with brought_up(project, settings) as stack:
        yield stack


def narrow(stack: Stack) -> httpx.Client:
    client = stack.client("api_url")
    client.headers["Authorization"] = f"Bearer {NARROW_KEY}"
    return client


def test_it_comes_up_with_all_checks_and_says_what_it_serves(duo: Stack) -> None:
    outputs = duo.project.outputs()
    assert all(check["ok"] for check in outputs["checks"].values())
    assert set(outputs["checks"]["inference"]["answers"]) == {"chat", "quick"}
    assert outputs["models"]["quick"]["names"] == ["quick"]
    assert outputs["model"]["name"] == "default"
    duo.project.pulumi("preview", "--stack", duo.project.stack, "--expect-no-changes", "--refresh")


def test_each_model_answers_by_its_name_and_default_means_one_of_them(duo: Stack) -> None:
    api = duo.client("api_url")
    for asked, answers in (("chat", "chat"), ("quick", "quick"), ("default", "chat")):
        answer = api.post("/v1/chat/completions", json=question_to(asked)).json()
        assert EXPECTED_WORD in answer["choices"][0]["message"]["content"].lower()
        assert answer["model"] == answers
    long = {"model": "quick", "prompt": "word " * 5000, "max_tokens": 1}
    assert api.post("/v1/completions", json=long).status_code == 400, "too long for quick"
    assert api.post("/v1/completions", json={**long, "model": "chat"}).status_code == 200, "and not for chat"


def test_a_client_gets_the_models_it_may_use_and_403_for_the_others(duo: Stack) -> None:
    client = narrow(duo)
    assert client.post("/v1/chat/completions", json=question_to("quick")).status_code == 200
    for model in ("chat", "default"):
        refused = client.post("/v1/chat/completions", json=question_to(model))
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "model_not_allowed")
    unknown = client.post("/v1/chat/completions", json=question_to("gpt-4o"))
    assert unknown.status_code == 404
    assert "may use: quick." in unknown.json()["error"]["message"]
    assert [model["id"] for model in client.get("/v1/models").json()["data"]] == ["quick"]


def test_openais_client_lists_and_retrieves_models_and_speaks_responses(duo: Stack) -> None:
    outputs = duo.project.outputs()
    with openai.OpenAI(
        base_url=outputs["api_url"], api_key=outputs["api_key"], http_client=httpx.Client(trust_env=False)
    ) as client:
        assert {model.id for model in client.models.list()} == {"chat", "quick", "default"}
        assert client.models.retrieve("quick").id == "quick"
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve("gpt-4o")
        said = client.responses.create(
            model="quick", input="What is the capital of France?", max_output_tokens=64, temperature=0
        )
        assert EXPECTED_WORD in said.output_text.lower()


def test_each_model_counts_tokens_for_those_who_may_use_it(duo: Stack) -> None:
    api = duo.client("api_url")
    for model, longest in (("chat", 8192), ("quick", 4096)):
        cut = api.post("/tokenize", json={"model": model, "prompt": "A lease of a warehouse."}).json()
        assert (cut["count"], cut["max_model_len"]) == (len(cut["tokens"]), longest)
        joined = api.post("/detokenize", json={"model": model, "tokens": cut["tokens"]}).json()
        assert "lease of a warehouse" in joined["prompt"]
    assert narrow(duo).post("/tokenize", json={"model": "chat", "prompt": "x"}).status_code == 403


def test_a_body_that_names_no_model_reaches_none(duo: Stack) -> None:
    api = duo.client("api_url")
    for body in ({"prompt": "x"}, {"model": ["chat"]}, {"messages": [{"model": "chat"}]}):
        refused = api.post("/v1/completions", json=body)
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "no_model")


def calls(stack: Stack) -> dict[str, int]:
    """Requests that each model's own vLLM has finished since it started."""
    found = {}
    for model in ("chat", "quick"):
        container = replica(stack.project.prefix, served=model)
        figures = docker("exec", container, "curl", "-fsS", "http://127.0.0.1:8000/metrics")
        counted = re.findall(r"^vllm:request_success_total\{.*\} (\S+)$", figures, re.MULTILINE)
        found[model] = sum(int(float(count)) for count in counted)
    return found


def upload(app: httpx.Client, name: str, content: bytes) -> str:
    """The document's id, once it can be asked."""
    document = app.post("/api/documents", files={"file": (name, content)}).json()

    def settled() -> str:
        status: str = app.get(f"/api/documents/{document['id']}").json()["status"]
        return status if status in ("ready", "failed") else ""

    assert until(settled, f"{name} is indexed", 600) == "ready"
    return str(document["id"])


def test_one_model_summarises_for_the_app_and_another_answers(duo: Stack) -> None:
    app = duo.client()
    asked = app.get("/api/models").json()
    assert asked["answer"] == {"model": "chat", "context_tokens": 8192}
    assert asked["summary"] == {"model": "quick", "context_tokens": 4096}
    assert asked["scans"] is None
    before = calls(duo)
    document = upload(app, SAMPLE.name, SAMPLE.read_bytes())
    indexed = calls(duo)
    assert indexed["quick"] > before["quick"]
    assert indexed["chat"] == before["chat"]
    answer = app.post("/api/ask", json={"question": QUESTION, "document_ids": [document]})
    assert answer.status_code == 200, answer.text
    answered = calls(duo)
    print(f"finished by vLLM: {before} before, {indexed} indexed, {answered} answered")
    assert answered["chat"] > indexed["chat"]
    assert answered["quick"] == indexed["quick"]
    app.delete(f"/api/documents/{document}")


def test_a_section_longer_than_the_window_of_the_model_that_summarises_gets_a_summary(duo: Stack) -> None:
    app, before = duo.client(), calls(duo)
    document = upload(app, "long.md", LONG.encode())
    after = calls(duo)
    print(f"finished by vLLM: {before} before, {after} after")
    assert after["quick"] > before["quick"]
    assert after["chat"] == before["chat"]
    app.delete(f"/api/documents/{document}")


def test_the_switch_of_one_model_under_load_fails_no_request_and_leaves_the_other_alone(duo: Stack) -> None:
    project = duo.project
    others = [f"{project.prefix}-gateway", f"{project.prefix}-app", replica(project.prefix, served="chat")]
    before = {name: started_at(name) for name in others}
    old = replica(project.prefix, served="quick")
    models = {**duo.settings["models"], "quick": {**duo.settings["models"]["quick"], "extra_flags": {"seed": 7}}}
    project.write_stack_file({**duo.settings, "models": models})
    planned = project.replaced_by_preview()
    assert {f"{project.prefix}-vllm-quick-0", "llm-quick-0-ready"} <= planned
    assert not [name for name in planned if "chat" in name or name in {"gateway-container", "pageindex-container"}]
    outputs = project.outputs()
    loads = [Load(outputs["api_url"], outputs["api_key"], 2, model) for model in ("quick", "chat")]
    with loads[0], loads[1]:
        project.up()
    for load, model in zip(loads, ("quick", "chat"), strict=True):
        print(f"{model}: {len(load.requests)} requests, {len(load.failed)} failed")
        assert load.failed == []
        assert len(load.requests) > 10
    assert replica(project.prefix, served="quick") != old
    assert {name: started_at(name) for name in others} == before


def test_the_log_says_which_model_was_asked(duo: Stack) -> None:
    lines = docker("logs", "--tail", "2000", f"{duo.project.prefix}-gateway").splitlines()
    models = {json.loads(line)["model"] for line in lines if line.startswith("{")}
    assert {"chat", "quick", "gpt-4o"} <= models
