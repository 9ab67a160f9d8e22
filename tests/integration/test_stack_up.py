"""The dev stack as it stands after `up`: it answers, it is closed, and a second `up` changes nothing.

Takes over 60 s because the stack comes up for the first test that asks it.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.conftest import Stack
from tests.integration.documents import indexed
from tests.integration.pulumi_project import docker, replica, started_at

pytestmark = pytest.mark.integration
ISOLATED = ("vllm", "app")


def containers(stack: Stack) -> list[str]:
    label = f"label=pageindex-stack.stack={stack.project.prefix}"
    return docker("ps", "--all", "--format", "{{.Names}}", "--filter", label).split()


def test_a_question_about_an_uploaded_pdf_is_answered_with_its_page(
    stack: Stack, sample: Callable[[str], Path]
) -> None:
    client = stack.client()
    path = sample("warehouse-lease.pdf")
    document = indexed(client, path.name, path.read_bytes())
    assert document["status"] == "ready", document
    body = {"question": "How much is the rent per month?", "document_ids": [document["id"]]}
    answer = client.post("/api/ask", json=body).json()
    assert "38,500" in answer["answer"]
    assert 2 in [page for citation in answer["citations"] for page in citation["pages"]]
    assert client.get(f"/api/documents/{document['id']}/tree").status_code == 200
    assert document["id"] in {known["id"] for known in client.get("/api/documents").json()["documents"]}
    assert client.delete(f"/api/documents/{document['id']}").status_code == 204


def test_process_answers_from_plain_text_as_the_seeds_have_it(stack: Stack) -> None:
    body = {"document": "The lighthouse keeper is called Ada Quill. She has two dogs.", "query": "Who is the keeper?"}
    answer = stack.client().post("/api/process", json=body)
    assert answer.status_code == 200
    assert "Quill" in answer.json()["answer"]


def test_the_api_answers_with_a_key_and_refuses_without(stack: Stack) -> None:
    body = {"model": "default", "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 8}
    assert stack.client("api_url").post("/v1/chat/completions", json=body).status_code == 200
    assert stack.client("api_url", with_key=False).post("/v1/chat/completions", json=body).status_code == 401
    assert stack.client("app_url", with_key=False).get("/api/documents").status_code == 401


@pytest.mark.parametrize("path", ["/metrics", "/docs", "/openapi.json", "/tokenize", "/invocations", "/version", "/v1"])
def test_what_is_not_listed_is_not_there(stack: Stack, path: str) -> None:
    for method in ("GET", "POST"):
        assert stack.client("api_url").request(method, path).status_code == 404


def test_a_stream_arrives_in_pieces(stack: Stack) -> None:
    body = {"model": "default", "prompt": "Once upon a time", "max_tokens": 12, "stream": True}
    with stack.client("api_url").stream("POST", "/v1/completions", json=body) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        pieces = [piece for piece in answer.iter_lines() if piece.startswith("data:")]
    assert pieces[-1] == "data: [DONE]"
    assert len(pieces) > 8


def test_every_check_passed_and_the_isolation_level_is_told(stack: Stack) -> None:
    checks = stack.project.outputs()["checks"]
    assert {name: result["ok"] for name, result in checks.items()} == {
        "isolation": True, "inference": True, "documents": True,
    }  # fmt: skip
    assert checks["isolation"]["level"]


@pytest.mark.parametrize("role", ISOLATED)
def test_inside_the_isolated_containers_there_is_no_way_out(stack: Stack, role: str) -> None:
    name = replica(stack.project.prefix) if role == "vllm" else f"{stack.project.prefix}-{role}"
    routes = docker("exec", name, "cat", "/proc/net/route").splitlines()[1:]
    assert [route.split()[1] for route in routes if route.split()[1] == "00000000"] == []
    networks = json.loads(docker("inspect", "--format", "{{json .NetworkSettings.Networks}}", name))
    assert list(networks) == [f"{stack.project.prefix}-internal"]


def test_the_gateway_alone_publishes_ports_on_loopback_alone(stack: Stack) -> None:
    published = {name: docker("port", name) for name in containers(stack)}
    assert [name for name, ports in published.items() if ports] == [f"{stack.project.prefix}-gateway"]
    for line in published[f"{stack.project.prefix}-gateway"].splitlines():
        assert line.split(" -> ")[1].startswith("127.0.0.1:")


def test_no_key_shows_in_inspect_processes_logs_or_state(stack: Stack) -> None:
    gateway, vllm = f"{stack.project.prefix}-gateway", replica(stack.project.prefix)
    client_key = stack.project.outputs()["api_key"]
    vllm_key = json.loads(docker("exec", vllm, "cat", "/run/pageindex-stack/vllm.yaml"))["api-key"]
    assert client_key != vllm_key
    seen = {name: docker("inspect", name) + docker("logs", name) for name in containers(stack)}
    seen["processes"] = subprocess.run(["ps", "axeww"], capture_output=True, text=True, check=True).stdout
    for file in (stack.project.directory / "state").rglob("*"):
        seen[str(file)] = file.read_text(errors="replace") if file.is_file() else ""
    assert len(seen) > 8
    assert gateway in seen
    for place, text in seen.items():
        assert client_key not in text, place
        assert vllm_key not in text, place


def test_containers_are_hardened_on_the_real_host_too(stack: Stack) -> None:
    running = [name for name in containers(stack) if not name.endswith("-files")]
    assert len(running) == 5
    for name in running:
        details = json.loads(docker("inspect", name))[0]
        assert details["HostConfig"]["ReadonlyRootfs"], name
        assert details["HostConfig"]["CapDrop"] == ["ALL"], name
        assert "no-new-privileges:true" in details["HostConfig"]["SecurityOpt"], name
        assert details["HostConfig"]["LogConfig"]["Config"] == {"max-size": "100m", "max-file": "5"}, name
        assert details["Config"]["User"].split(":")[0] not in {"", "0"}, name


def test_nginx_is_not_older_than_its_floor(stack: Stack) -> None:
    told = docker("exec", f"{stack.project.prefix}-gateway", "sh", "-c", "nginx -v 2>&1")
    assert tuple(int(part) for part in told.split("/")[1].split(".")) >= (1, 30, 2)


def test_a_second_preview_is_empty_with_and_without_refresh(stack: Stack) -> None:
    arguments = ("preview", "--stack", stack.project.stack, "--expect-no-changes")
    stack.project.pulumi(*arguments)
    stack.project.pulumi(*arguments, "--refresh")


def test_a_second_up_changes_nothing_and_keeps_the_key(stack: Stack) -> None:
    key = stack.project.outputs()["api_key"]
    before = {name: started_at(name) for name in containers(stack)}
    stack.project.up("--expect-no-changes")
    assert {name: started_at(name) for name in containers(stack)} == before
    assert stack.project.outputs()["api_key"] == key
