"""Hostile requests against the gateway as it was deployed, before the real vLLM and the real app."""

from __future__ import annotations

import json
import re
import socket
import time
from urllib.parse import urlsplit

import pytest

from planning.gateway.config import API_PORT, APP_PORT, GatewayConfig
from tests.integration.conftest import Stack
from tests.integration.gateway_attacks import attacks, raw
from tests.integration.gateway_rig import Answer, bearer, exchange
from tests.integration.pulumi_project import docker, replica
from tests.polling import until

pytestmark = pytest.mark.integration
LISTED = {("GET", path) for path in GatewayConfig().get_paths} | {("POST", path) for path in GatewayConfig().post_paths}
KEY_STATES = ("none", "wrong", "vllm's", "good")


class Door:
    """Both published ports of a deployed gateway."""

    def __init__(self, stack: Stack):
        outputs, prefix = stack.project.outputs(), stack.project.prefix
        self.key: str = outputs["api_key"]
        self.vllm = replica(prefix)
        config = json.loads(docker("exec", self.vllm, "cat", "/run/pageindex-stack/vllm.yaml"))
        self.vllm_key: str = config["api-key"]
        self._at = {API_PORT: urlsplit(outputs["api_url"]), APP_PORT: urlsplit(outputs["app_url"])}

    def send(self, request: bytes, port: int = API_PORT) -> Answer:
        there = self._at[port]
        with socket.create_connection((there.hostname, there.port), timeout=30) as connection:
            return exchange(connection, request)

    def header(self, state: str) -> list[str]:
        keys = {"wrong": "o" * 40, "vllm's": self.vllm_key, "good": self.key}
        return [bearer(keys[state])] if state in keys else []


@pytest.fixture(scope="module")
def door(stack: Stack) -> Door:
    return Door(stack)


def routes_of_vllm(door: Door) -> list[tuple[str, str]]:
    """(method, path) of everything that the running vLLM lists itself, and its documentation."""
    ask = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8000/openapi.json').read().decode())"
    listed = json.loads(docker("exec", door.vllm, "python3", "-c", ask))["paths"]
    found = [(method.upper(), path.replace("{", "").replace("}", "")) for path, how in listed.items() for method in how]
    return [*found, ("GET", "/docs"), ("GET", "/redoc"), ("GET", "/openapi.json"), ("GET", "/metrics")]


def promised(method: str, path: str, state: str) -> int:
    if path == "/health":
        return 200  # the gateway's own
    if not any(path == listed for _, listed in LISTED):
        return 404
    if state != "good":
        return 401
    return 200 if (method, path) in LISTED else 405


def test_no_route_of_the_running_vllm_is_open_but_the_listed_ones_with_a_key(door: Door) -> None:
    routes = routes_of_vllm(door)
    assert len(routes) > 20
    sent, wrong = 0, []
    for method, path in routes:
        for state in KEY_STATES:
            if (method, path) in LISTED and method == "POST" and state == "good":
                continue  # no attack: the inference check asks these
            status = door.send(raw(f"{method} {path} HTTP/1.1", *door.header(state))).status
            sent += 1
            if status != promised(method, path, state):
                wrong.append((method, path, state, status))
    assert not wrong
    assert sent >= 100


def test_every_hostile_request_gets_its_promised_status(door: Door, stack: Stack) -> None:
    body_mib = GatewayConfig().max_body_mib
    # The page's parts have names that change with their contents.
    hostile = [each for each in attacks(door.key, door.vllm_key, body_mib) if b"GET /static/icon" not in each.request]
    answers = {attack.name: door.send(attack.request, attack.port) for attack in hostile}
    assert not {attack.name: answers[attack.name].status for attack in hostile
                if answers[attack.name].status != attack.status}  # fmt: skip
    for attack in hostile:
        answer = answers[attack.name]
        assert answer.headers["server"] == "nginx", attack.name
        if attack.status != 200:
            assert set(answer.json["error"]) == {"message", "type", "param", "code"}, attack.name
        assert door.key not in answer.body.decode(errors="replace"), attack.name
        assert door.vllm_key not in answer.body.decode(errors="replace"), attack.name
    assert len(hostile) > 200
    logs = docker("logs", f"{stack.project.prefix}-gateway")
    assert door.key not in logs
    assert door.vllm_key not in logs


def test_it_is_known_by_its_containers_name_to_the_app_of_another_stack(door: Door, stack: Stack) -> None:
    name = f"{stack.project.prefix}-gateway"
    request = f"GET /v1/models HTTP/1.1\r\nHost: {name}:{API_PORT}\r\n{bearer(door.key)}\r\nConnection: close\r\n\r\n"
    assert door.send(request.encode()).status == 200


def test_a_client_that_leaves_ends_its_request_in_vllm_long_before_its_last_token(door: Door, stack: Stack) -> None:
    body = {"model": "default", "prompt": "1, 2,", "max_tokens": 2000, "ignore_eos": True, "stream": True}
    with stack.client("api_url") as client, client.stream("POST", "/v1/completions", json=body) as answer:
        lines = answer.iter_lines()  # kept: without it the connection would be closed
        assert next(lines).startswith("data: ")
        until(lambda: running_requests(door.vllm) == 1, "vLLM counts it", 10)
    left_s = time.monotonic()
    until(lambda: running_requests(door.vllm) == 0, "vLLM works on nothing", 10)
    print(f"vLLM was seen at rest {time.monotonic() - left_s:.2f} s after the client left")


def running_requests(container: str) -> int:
    figures = docker("exec", container, "curl", "-fsS", "http://127.0.0.1:8000/metrics")
    return int(
        sum(map(float, re.findall(r"^vllm:num_requests_(?:running|waiting)\{[^}]*\} (\S+)$", figures, re.MULTILINE)))
    )
