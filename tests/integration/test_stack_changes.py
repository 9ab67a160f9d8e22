"""The dev stack under change and damage. Every test leaves it up and whole, so that none depends on another.

Takes over 60 s because most changes are only seen once vLLM has started again.
"""

from __future__ import annotations

import json
import socket
import uuid
from typing import Any

import pytest
import yaml

from planning.hosts.images import resolve_image
from planning.hosts.names import gateway_container, internal_network, prefix_of
from tests.integration.conftest import Stack
from tests.integration.documents import indexed, settled
from tests.integration.faults import kill_engine
from tests.integration.pulumi_project import REPOSITORY, Project, docker, free_port, replica, started_at
from tests.polling import until
from tests.unit.pageindex_app.pdfs import PICTURE, pdf

pytestmark = pytest.mark.integration


def with_max_num_seqs(stack: Stack, count: int) -> dict[str, Any]:
    return {**stack.settings, "vllm": {**stack.settings["vllm"], "max_num_seqs": count}}


def apply(stack: Stack, settings: dict[str, Any]) -> None:
    """Make settings the stack's own: `up` must have deployed them."""
    stack.settings = settings


def test_a_changed_flag_replaces_vllm_and_what_watches_it_and_nothing_else(stack: Stack) -> None:
    prefix = stack.project.prefix
    untouched = [f"{prefix}-gateway", f"{prefix}-app"]
    before = {name: started_at(name) for name in untouched}
    old = replica(prefix)
    settings = with_max_num_seqs(stack, stack.settings["vllm"]["max_num_seqs"] + 1)
    stack.project.write_stack_file(settings)
    assert stack.project.replaced_by_preview() == {
        f"{prefix}-vllm-0", "llm-0-ready",  # what was changed, and the rollout that brings it into use
        "models-fetch", "models-verified",  # weights are verified before anything loads them anew
        "checks-isolation", "checks-inference", "checks-documents",
    }  # fmt: skip
    stack.project.up()
    apply(stack, settings)
    assert replica(prefix) != old
    assert docker("ps", "--all", "--quiet", "--filter", f"name={old}") == ""
    assert {name: started_at(name) for name in untouched} == before


def test_a_vllm_whose_engine_dies_answers_503_with_retry_after_and_comes_back_by_itself(stack: Stack) -> None:
    name = replica(stack.project.prefix)
    app, api = stack.client("app_url"), stack.client("api_url")
    body = {"model": "default", "prompt": "1, 2,", "max_tokens": 1}
    before = started_at(name)
    kill_engine(name)
    refused = until(
        lambda: next((a for a in [api.post("/v1/completions", json=body)] if a.status_code == 503), None),
        "the API says 503 while vLLM is down",
        30,
    )
    assert int(refused.headers["Retry-After"]) > 0
    assert "error" in refused.json()
    ready = app.get("/ready")
    assert ready.status_code == 503
    assert "vllm" in ready.text.lower()
    asked = app.post("/api/process", json={"document": "The sky is blue.", "query": "Which colour has the sky?"})
    assert asked.status_code == 503
    assert int(asked.headers["Retry-After"]) > 0
    assert app.get("/health").status_code == 200
    until(lambda: api.post("/v1/completions", json=body).status_code == 200, "vLLM is back")
    assert started_at(name) != before
    until(lambda: app.get("/ready").status_code == 200, "the app is ready again")


def test_stopped_and_removed_containers_are_named_and_come_back_with_refresh_and_nobody_else_is_touched(
    stack: Stack,
) -> None:
    prefix = stack.project.prefix
    gateway, app, metrics = f"{prefix}-gateway", f"{prefix}-app", f"{prefix}-gateway-metrics"
    sample = REPOSITORY / "checks" / "sample.pdf"
    kept = stack.client().post("/api/documents", files={"file": (sample.name, sample.read_bytes(), "application/pdf")})
    outputs, vllm = stack.project.outputs(), replica(prefix)
    before = started_at(vllm)
    docker("rm", "--force", app, f"{prefix}-model-fetch")
    docker("stop", gateway, metrics)
    named = stack.project.up(ok=False)
    assert f"somebody stopped {gateway}" in named.stdout or f"container {app}" in named.stdout
    assert "do:       pulumi up --refresh" in named.stdout
    stack.project.up("--refresh")
    assert all(docker("inspect", "--format", "{{.State.Running}}", name) == "true" for name in (gateway, app, metrics))
    after = stack.project.outputs()
    assert {key: after[key] for key in ("api_key", "api_url", "app_url")} == {
        key: outputs[key] for key in ("api_key", "api_url", "app_url")
    }
    client = stack.client()
    assert client.get("/ready").status_code == 200
    assert kept.json()["id"] in {document["id"] for document in client.get("/api/documents").json()["documents"]}
    docker("stop", app)
    stack.project.up("--refresh")
    assert stack.client().get("/ready").status_code == 200, "up has waited for it"
    assert started_at(vllm) == before
    stack.project.pulumi("preview", "--stack", stack.project.stack, "--expect-no-changes", "--refresh")


def test_a_changed_byte_in_the_weights_is_refused_by_name_and_the_old_vllm_goes_on(stack: Stack) -> None:
    vllm = replica(stack.project.prefix)
    before = started_at(vllm)
    flip_a_byte(stack.project)
    settings = with_max_num_seqs(stack, stack.settings["vllm"]["max_num_seqs"] + 1)
    stack.project.write_stack_file(settings)
    try:
        told = stack.project.up(ok=False)
        assert told.returncode != 0
        assert "model.safetensors" in told.stdout
        assert "sha256" in told.stdout.lower()
        assert started_at(vllm) == before
        body = {"model": "default", "prompt": "1, 2,", "max_tokens": 1}
        assert stack.client("api_url").post("/v1/completions", json=body).status_code == 200
        mend = next(line for line in told.stdout.splitlines() if "docker run" in line and "forget" in line)
        words = mend[mend.index("docker run") :].split()
        docker(*words[1 : words.index("forget") + 3])  # forget REPO REVISION
    finally:
        stack.project.up()
        apply(stack, settings)


def flip_a_byte(project: Project) -> None:
    """Change one byte in the middle of the weights, as a failing disk would; the size stays."""
    code = (
        "import pathlib; file = next(pathlib.Path('/models').rglob('model.safetensors')).open('r+b');"
        "file.seek(1_000_000); byte = file.read(1)[0]; file.seek(1_000_000); file.write(bytes([byte ^ 1]))"
    )
    docker(
        "run", "--rm", "--network", "none", "--user", "0:0", "-v", f"{project.prefix}-models:/models",
        resolve_image("python"), "python3", "-c", code,
    )  # fmt: skip


def test_a_taken_port_is_named_and_the_running_gateway_stays(stack: Stack) -> None:
    gateway = f"{stack.project.prefix}-gateway"
    before = started_at(gateway)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        stack.project.write_stack_file({**stack.settings, "gateway": {**stack.settings["gateway"], "api_port": port}})
        told = stack.project.up(ok=False)
        assert told.returncode != 0
        assert str(port) in told.stdout
        assert "taken" in told.stdout
    assert started_at(gateway) == before
    stack.project.write_stack_file(stack.settings)
    stack.project.up()
    assert started_at(gateway) == before


def test_another_port_replaces_the_gateway_and_neither_vllm_nor_the_app(stack: Stack) -> None:
    untouched = [replica(stack.project.prefix), f"{stack.project.prefix}-app"]
    before = {name: started_at(name) for name in untouched}
    settings = {**stack.settings, "gateway": {**stack.settings["gateway"], "api_port": free_port()}}
    stack.project.write_stack_file(settings)
    stack.project.up()
    apply(stack, settings)
    assert stack.client("api_url").get("/v1/models").status_code == 200
    assert {name: started_at(name) for name in untouched} == before


def test_scans_are_read_by_another_stack_whose_isolated_network_the_app_joins(stack: Stack) -> None:
    other, key = f"ocr-{uuid.uuid4().hex[:6]}", "k" * 40
    network, neighbour = internal_network(prefix_of(other)), gateway_container(prefix_of(other))
    project, scan = stack.project, pdf(PICTURE)
    refused = indexed(stack.client(), "scan.pdf", scan)
    assert refused["error"]["code"] == "scanned"
    project.pulumi("config", "set", "--stack", project.stack, "--secret", "ocr_key", key)
    encrypted = yaml.safe_load(project.stack_file.read_text())["config"]["pageindex-stack:ocr_key"]
    project.write_stack_file({**stack.settings, "pageindex": {"ocr": {"stack": other}}, "ocr_key": encrypted})
    app = f"{project.prefix}-app"
    before = started_at(app)
    try:
        alone = project.up(ok=False)
        assert f"expected: stack {other} on this host" in alone.stdout
        assert started_at(app) == before, "the app that runs is not taken away for a stack that is not there"
        docker("network", "create", "--internal", network)
        script = (REPOSITORY / "tests/integration/ocr_neighbour.py").read_text()
        docker("run", "--detach", "--name", neighbour, "--network", network, resolve_image("python"), "python", "-c",
               script, key)  # fmt: skip
        project.up()
        assert network in str(project.outputs()["checks"]["isolation"]["seen"])
        client = stack.client()
        client.post(f"/api/documents/{refused['id']}/reindex").raise_for_status()
        assert settled(client, refused["id"])["status"] == "ready"
        assert "built in 1871" in client.get(f"/api/documents/{refused['id']}/pages/1").text
        assert key not in docker("inspect", app)
        client.delete(f"/api/documents/{refused['id']}").raise_for_status()
    finally:
        project.write_stack_file(stack.settings)
        project.up()
        docker("rm", "--force", neighbour, ok=False)
        docker("network", "rm", network, ok=False)
    assert list(json.loads(docker("inspect", app))[0]["NetworkSettings"]["Networks"]) == [f"{project.prefix}-internal"]


def test_destroy_leaves_the_weights_alone_and_the_next_up_needs_no_hub(stack: Stack) -> None:
    project = stack.project
    project.pulumi("destroy", "--stack", project.stack, "--yes", "--skip-preview")
    label = f"label=pageindex-stack.stack={project.prefix}"
    assert docker("ps", "--all", "--quiet", "--filter", label) == ""
    assert docker("network", "ls", "--quiet", "--filter", label) == ""
    assert docker("volume", "ls", "--quiet", "--filter", label).split() == [f"{project.prefix}-models"]
    environment = project.environment
    project.environment = {**environment, "HF_ENDPOINT": "http://127.0.0.1:9"}  # nothing listens there
    try:
        project.up()
        fetched = docker("logs", f"{project.prefix}-model-fetch").splitlines()[-1]
        assert json.loads(fetched)["verified"] == "offline"
        assert stack.client("api_url").get("/v1/models").status_code == 200
    finally:
        project.environment = environment
        project.up()


def test_a_bad_stack_file_is_refused_at_preview_with_all_faults_and_nothing_registered(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    project = Project(tmp_path_factory.mktemp("bad"), "bad")
    project.write_stack_file(
        {
            "model": "gpt-17",
            "vllm": {"image": "vllm/vllm-openai:latest", "max_model_len": "8k", "turbo": True},
            "gateway": {"api_port": 70000, "max_body_mib": -1, "clients": {"alice": {}}},
            "api_keys": {"bob": "in-clear"},
            "modle": "typo",
        }
    )
    project.pulumi("stack", "init", project.stack)
    told = project.pulumi("preview", "--stack", project.stack, ok=False)
    assert told.returncode != 0
    printed = told.stdout + told.stderr
    for key in (
        "model", "vllm.image", "vllm.max_model_len", "vllm.turbo", "gateway.api_port", "gateway.max_body_mib",
        "api_keys", "modle",
    ):  # fmt: skip
        assert f"pageindex-stack:{key}" in printed, key
    assert printed.count("mend: pulumi config") + printed.count("mend: openssl") >= 8
    assert "in-clear" not in printed
    assert "Traceback" not in printed
    state = project.pulumi("stack", "export", "--stack", project.stack).stdout
    assert not json.loads(state)["deployment"].get("resources")
