"""Three models behind one gateway: the body says which of them a request is for, and nobody reaches another one."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from planning.gateway.config import INNER_PORT, RoutedModel
from planning.settings.gateway import ClientSettings
from tests.integration.gateway_attacks import GOOD
from tests.integration.gateway_rig import CONFIG, KEYS, UPSTREAM_KEY, Answer, Gateway, bearer, docker
from tests.polling import until

pytestmark = pytest.mark.integration
CHAT = "/v1/chat/completions"
NARROW = bearer(KEYS["narrow"])
MODELS = (
    RoutedModel(
        name="large", names=("large", "Org/Large-70B", "default"), repo="Org/Large-70B", max_model_len=8192,
        replicas=("vllm-large-0:8000",),
    ),
    RoutedModel(
        name="small-one", names=("small-one", "Org/small.1"), repo="Org/small.1", max_model_len=2048,
        replicas=("vllm-small-0:8000",),
    ),
    RoutedModel(
        name="meaning", names=("meaning",), repo="Org/Embed", max_model_len=512, task="embedding",
        replicas=("vllm-meaning-0:8000",),
    ),
)  # fmt: skip


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    config = CONFIG.model_copy(
        update={
            "models": MODELS,
            "post_paths": (CHAT, "/v1/completions", "/v1/responses", "/v1/embeddings"),
            "clients": {
                "narrow": ClientSettings(models=["small-one"], requests_per_minute=1_000_000),
                "sixty": ClientSettings(requests_per_minute=3),
                "last-year": ClientSettings(requests_per_minute=6, model_requests_per_minute={"large": 2}),
            },
            "max_body_mib": 12,
        }
    )
    made = Gateway(f"gwroutes-{secrets.token_hex(3)}", config)
    try:
        made.up()
        for model in MODELS:
            made.add_backend(model.replicas[0].partition(":")[0])
        names = [model.name for model in MODELS[:2]]
        until(lambda: all(gateway_answers(made, name) for name in names), "the models answer", 10)
        yield made
    finally:
        made.down()


def gateway_answers(gateway: Gateway, model: str) -> bool:
    return gateway.post(CHAT, {"model": model}, GOOD).status == 200


def seen(gateway: Gateway) -> list[int]:
    """How many requests each model has got."""
    return [len(backend.control("/seen")) for backend in gateway.backends]


def text(gateway: Gateway, body: bytes | str, *headers: str, path: str = CHAT) -> Answer:
    raw = body.encode() if isinstance(body, str) else body
    return gateway.ask("POST", path, *(headers or (GOOD,)), "Content-Type: application/json", body=raw)


def who(gateway: Gateway, answer: Answer) -> str:
    assert answer.status == 200, (answer.status, answer.body)
    [found] = [index for index, each in enumerate(gateway.backends) if each.container_id == answer.json["host"]]
    return MODELS[found].name


@pytest.mark.parametrize(
    ("body", "model"),
    [
        ('{"model": "large"}', "large"),
        ('{"model": "Org/Large-70B"}', "large"),
        ('{"model": "default"}', "large"),
        ('{"model":"small-one"}', "small-one"),
        ('\t{ "stream" : false , "model"\n:\r\n"Org/small.1" } \n', "small-one"),
        ('{"messages": [{"model": "large"}], "model": "small-one"}', "small-one"),
        ('{"model": "small-one", "metadata": {"model": "large"}}', "small-one"),
        ('{"user": "say \\"model\\": \\"large\\"", "model": "small-one"}', "small-one"),
        ('{"a": [], "b": {}, "c": null, "d": -1.5e-3, "e": true, "f": "\\\\", "model": "small-one"}', "small-one"),
        ('{"deep": ' + "[" * 150 + "]" * 150 + ', "model": "small-one"}', "small-one"),
        ('{"text": "' + "ü€😀" * 1000 + '", "model": "small-one"}', "small-one"),
        ('{"tools": [{"properties": {"model": {"type": "string"}}}], "model": "small-one"}', "small-one"),
    ],
    ids=range(12),
)  # fmt: skip
def test_the_models_name_at_the_top_of_the_body_decides(gateway: Gateway, body: str, model: str) -> None:
    assert who(gateway, text(gateway, body)) == model


@pytest.mark.parametrize("megabytes", [1, 10])
def test_a_large_body_is_routed_like_a_small_one(gateway: Gateway, megabytes: int) -> None:
    content = "a word and \\n" * (megabytes * 2**20 // 13)
    assert who(gateway, text(gateway, f'{{"input": "{content}", "model": "small-one"}}')) == "small-one"


def test_a_body_in_chunks_is_routed_like_one_with_a_length(gateway: Gateway) -> None:
    body = b'{"model": "small-one"}'
    pieces = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:5], body[5:])) + b"0\r\n\r\n"
    head = (
        f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{GOOD}\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    assert gateway.raw(head.encode() + pieces).status == 200


@pytest.mark.parametrize(
    "body",
    [
        "", "{}", "[]", '"large"', '{"Model": "large"}', '{"model": 7}', '{"model": null}', '{"model": ["large"]}',
        '{"model": ""}', '{"model": "large", "model": "small-one"}', '{"model": "large", "model": "large"}',
        '{"model": "large", "mod\\u0065l": "small-one"}', '{"mod\\u0065l": "large"}', '{"model": "lar\\u0067e"}',
        '{"model": "large"} {"model": "small-one"}', '{"model": "large"}, ', '[{"model": "large"}]',
        '{"model": "large"',
        '{"a": {"model": "large"}}', '{"model": "large\\n"}', '{"model": "' + "x" * 10_000_000 + '"}',
        '{"deep": ' + "[" * 100_000 + "]" * 100_000 + ', "model": "large"}', '{"deep": ' + "[" * 100_000,
        "model=large", "\ufeff" + '{"model": "large"}', '{"model": "large", }', "{'model': 'large'}",
    ],
    ids=range(27),
)  # fmt: skip
def test_a_body_without_one_clear_model_reaches_nobody(gateway: Gateway, body: str) -> None:
    before = seen(gateway)
    refused = text(gateway, body)
    assert refused.status == 400, refused.body
    assert refused.json["error"]["code"] == "no_model"
    assert seen(gateway) == before


def test_an_unknown_model_is_a_404_that_lists_what_the_client_may_use(gateway: Gateway) -> None:
    for name in ("gpt-4o", "LARGE", "org/large-70b", "large/"):
        assert text(gateway, json.dumps({"model": name})).status == 404, name
    for name in ("large ", "/large"):
        assert text(gateway, json.dumps({"model": name})).status == 400, f"{name!r} can be no name"
    refused = text(gateway, '{"model": "gpt-4o"}', NARROW)
    assert refused.status == 404
    assert refused.json["error"] == {
        "message": "There is no model `gpt-4o` here. This key may use: small-one, Org/small.1.",
        "type": "invalid_request_error", "param": "model", "code": "model_not_found",
    }  # fmt: skip
    assert refused.headers["x-request-id"]


def test_a_client_reaches_only_the_models_it_may_use(gateway: Gateway) -> None:
    before = seen(gateway)
    for name in ("large", "Org/Large-70B", "default", "meaning"):
        refused = text(gateway, json.dumps({"model": name}), NARROW)
        assert (refused.status, refused.json["error"]["code"]) == (403, "model_not_allowed"), name
    assert seen(gateway) == before
    assert who(gateway, text(gateway, '{"model": "small-one"}', NARROW)) == "small-one"


def test_a_model_answers_only_where_its_task_does(gateway: Gateway) -> None:
    assert who(gateway, text(gateway, '{"model": "meaning"}', path="/v1/embeddings")) == "meaning"
    for model, path in (("meaning", CHAT), ("meaning", "/v1/responses"), ("large", "/v1/embeddings")):
        refused = text(gateway, json.dumps({"model": model}), path=path)
        assert (refused.status, refused.json["error"]["code"]) == (400, "wrong_task")


def ids(answer: Answer) -> list[str]:
    assert answer.status == 200
    return [model["id"] for model in answer.json["data"]]


def test_the_list_of_models_has_those_that_the_client_may_use_and_each_can_be_retrieved(gateway: Gateway) -> None:
    all_of_them = [name for model in MODELS for name in model.names]
    assert ids(gateway.get("/v1/models", GOOD)) == all_of_them
    assert ids(gateway.get("/v1/models", NARROW)) == ["small-one", "Org/small.1"]
    for name in all_of_them:
        page = gateway.get(f"/v1/models/{name}", GOOD)
        assert (page.status, page.json["id"], page.json["object"]) == (200, name, "model"), name
        assert gateway.get(f"/v1/models/{name}", NARROW).status == (200 if "small" in name else 404)
    assert gateway.get("/v1/models/Large", GOOD).status == 404
    assert gateway.get("/v1/models/gpt", GOOD).status == 404
    assert gateway.get("/v1/models/large").status == 401
    assert gateway.post("/v1/models/large", {}, GOOD).status == 405


def test_nobody_comes_in_by_the_gateways_own_locations(gateway: Gateway) -> None:
    before = seen(gateway)
    for path in ("/-routed", "/-body/", "/-nowhere"):
        for headers in ((), (GOOD,)):
            assert text(gateway, '{"model": "large"}', *(headers or ("X-Nothing: 1",)), path=path).status == 404
    assert text(gateway, '{"model": "large"}', "X-Nothing: 1").status == 401
    assert seen(gateway) == before


def test_limits_of_a_client_count_its_requests_to_all_models(gateway: Gateway) -> None:
    answers = [text(gateway, json.dumps({"model": name}), bearer(KEYS["sixty"])) for name in ("large", "small-one") * 3]
    assert [answer.status for answer in answers].count(200) == 3
    assert answers[-1].status == 429
    assert int(answers[-1].headers["retry-after"]) == 20


def test_a_model_has_a_limit_of_its_own_within_the_clients(gateway: Gateway) -> None:
    client = bearer(KEYS["last-year"])

    def asked(model: str) -> Answer:
        return text(gateway, json.dumps({"model": model}), client)

    before = seen(gateway)
    large = [asked(name) for name in ("large", "default", "Org/Large-70B")]
    assert [answer.status for answer in large] == [200, 200, 429], "whatever it is called"
    assert int(large[-1].headers["retry-after"]) == 30
    assert large[-1].json["error"]["code"] == "rate_limit_exceeded"
    others = [asked("small-one") for _ in range(6)]
    assert [answer.status for answer in others].count(200) in (3, 4), "the rest of six, whether or not the 429 counted"
    assert others[-1].status == 429
    assert seen(gateway)[0] - before[0] == 2
    assert text(gateway, '{"model": "large"}').status == 200, "nobody else waits"


def test_a_stream_passes_as_it_comes_and_a_dead_model_takes_no_other_with_it(gateway: Gateway) -> None:
    backend = gateway.backends[1]
    streamed = text(gateway, '{"model": "small-one", "chunks": 1}')
    assert streamed.status == 200
    docker("stop", "--time", "0", backend.container)
    try:
        dead = until(
            lambda: next((a for a in [text(gateway, '{"model": "small-one"}')] if a.status == 503), None), "503"
        )
        assert int(dead.headers["retry-after"]) >= 1
        assert gateway_answers(gateway, "large")
    finally:
        docker("start", backend.container)
    until(backend.answers_anywhere, "it is back", 15)
    until(lambda: gateway_answers(gateway, "small-one"), "the gateway has found it", 15)


def test_the_app_comes_in_by_the_inner_port_with_vllms_key_and_is_routed_too(gateway: Gateway) -> None:
    def inside(model: str, key: str) -> Any:
        body = json.dumps({"model": model})
        return docker(
            "exec", f"{gateway.name}-gateway", "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-d", body,
            "-H", f"Authorization: Bearer {key}", f"http://127.0.0.1:{INNER_PORT}{CHAT}",
        )  # fmt: skip

    before = seen(gateway)
    assert [inside("small-one", UPSTREAM_KEY), inside("large", KEYS["alice"]), inside("gpt", UPSTREAM_KEY)] == [
        "200", "401", "404",
    ]  # fmt: skip
    assert [now - then for now, then in zip(seen(gateway), before, strict=True)] == [0, 1, 0]


def test_the_log_names_model_and_path_and_no_body(gateway: Gateway) -> None:
    word = f"secret-{secrets.token_hex(8)}"
    text(gateway, f'{{"model": "small-one", "input": "{word}"}}')
    text(gateway, f'{{"deep": "{word}", "list": ' + "[" * 5000 + "]" * 5000 + "}")
    until(lambda: "/v1/chat/completions" in gateway.logs(), "the log is written", 5)
    lines = [json.loads(line) for line in gateway.logs().splitlines() if line.startswith("{")]
    assert [line for line in lines if line["model"] == "small-one" and line["path"] == CHAT and line["status"] == "200"]
    assert not [line for line in lines if line["path"].startswith("/-") and line["status"] == "200"]
    assert word not in gateway.logs()


def test_two_models_are_told_their_replicas_at_the_same_moment(gateway: Gateway) -> None:
    often = """
        told() { for _ in $(seq 20); do $replicas show "$1" | $replicas put "$1" || exit 1; done; }
        told replicas-large.conf & first=$!
        told replicas-small-one.conf & second=$!
        wait $first && wait $second
    """
    docker("exec", "-e", "replicas=sh /run/pageindex-stack/replicas.sh", f"{gateway.name}-gateway", "sh", "-c", often)
    assert docker("exec", f"{gateway.name}-gateway", "sh", "-c", "ls /tmp | grep -c candidate || true") == "0"
    assert [text(gateway, json.dumps({"model": name})).status for name in ("large", "small-one")] == [200, 200]
