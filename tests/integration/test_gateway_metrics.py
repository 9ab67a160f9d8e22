"""What Prometheus reads about the gateway, counted from real requests through the real nginx."""

from __future__ import annotations

import json
import secrets
import urllib.request
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from planning.gateway import config as gw
from tests.integration.gateway_attacks import GOOD
from tests.integration.gateway_rig import KEYS, Gateway, bearer
from tests.polling import until

pytestmark = pytest.mark.integration
CHAT = "/v1/chat/completions"
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


class Counted:
    def __init__(self, gateway: Gateway, url: str):
        self.gateway, self.url = gateway, url

    def total(self, name: str, **labels: str) -> float:
        """Sum over all samples of a metric that carry these labels."""
        with urllib.request.urlopen(self.url, timeout=5) as answer:
            text = answer.read().decode()
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        return sum(each.value for each in samples if each.name == name and labels.items() <= each.labels.items())

    def answers(self) -> bool:
        try:
            self.total("x")
        except OSError:
            return False
        return True


@pytest.fixture(scope="module")
def counted() -> Iterator[Counted]:
    gateway = Gateway(f"gwmetrics-{secrets.token_hex(3)}")
    try:
        gateway.up()
        made = Counted(gateway, gateway.add_metrics())
        until(made.answers, "the metrics answer", 15)
        gateway.add_backend()
        until(lambda: gateway.get("/v1/models", GOOD).status == 200, "the backend is found", 5)
        yield made
    finally:
        gateway.down()


def test_requests_are_counted_by_client_port_status_and_upstream(counted: Counted) -> None:
    gateway = counted.gateway
    before = counted.total("pageindex_gateway_requests_total", client="alice", status="201")
    for _ in range(5):
        assert gateway.post(CHAT, {"status": 201}, GOOD).status == 201
    gateway.get("/nowhere")
    address = f"{gateway.backends[0].address}:8000"
    total = counted.total
    until(lambda: total("pageindex_gateway_requests_total", client="alice", status="201", upstream=address) - before
          == 5, "five are counted", 10)  # fmt: skip
    # Another worker of nginx may have answered this one, and writes its lines at another moment.
    until(lambda: total("pageindex_gateway_requests_total", client="", status="404", port=str(gw.API_PORT)) >= 1,
          "the one without a client is counted", 10)  # fmt: skip
    assert counted.total("pageindex_gateway_request_seconds_count", port=str(gw.API_PORT)) >= 6
    assert counted.total("pageindex_gateway_first_byte_seconds_count", port=str(gw.API_PORT)) >= 5


def test_each_request_that_a_limit_refused_is_counted_by_limit(counted: Counted) -> None:
    key = bearer(KEYS["sixty"])
    refused = [counted.gateway.get("/v1/models", key).status for _ in range(9)].count(429)
    assert refused == 3
    name, labels = "pageindex_gateway_limited_total", {"client": "sixty", "limit": "requests_per_minute"}
    until(lambda: counted.total(name, **labels) == 3, "three are counted", 10)


def test_a_replica_is_shown_as_up_and_as_standing_still_while_requests_run_and_no_token_comes(counted: Counted) -> None:
    replica = {"replica": "vllm-0:8000"}
    until(lambda: counted.total("pageindex_replica_up", **replica) == 1, "it is up", 15)
    assert counted.total("pageindex_replica_in_use", **replica) == 1
    assert counted.total("pageindex_replica_stalled_seconds", **replica) == 0
    counted.gateway.backends[0].control("/running/3", "POST")
    until(lambda: counted.total("pageindex_replica_stalled_seconds", **replica) > 0, "it stands still", 20)
    assert counted.total("pageindex_replica_requests_running", **replica) == 3
    counted.gateway.backends[0].control("/running/0", "POST")
    until(lambda: counted.total("pageindex_replica_stalled_seconds", **replica) == 0, "it has nothing to do", 20)


@pytest.mark.parametrize(("body", "model"), [
    (b'{"model": "default", "n": 1}', "default"),
    (b'{"messages": [{"content": "say \\"model\\": \\"x\\""}], "model":"org/Name-1.5:ft@v2"}', "org/Name-1.5:ft@v2"),
    (b'{"messages": []}', ""),
    (b'{"model": "a b\\u0022"}', ""),
    (b"\xff\xfe not JSON", ""),
])  # fmt: skip
def test_the_log_names_the_model_that_was_asked_for(counted: Counted, body: bytes, model: str) -> None:
    gateway = counted.gateway
    marker = gateway.ask("POST", CHAT, GOOD, body=body).headers["x-request-id"]
    until(lambda: marker in gateway.logs(), "the request is in the log", 5)
    [line] = [json.loads(line) for line in gateway.logs().splitlines() if marker in line]
    assert line["model"] == model
