"""Keys and settings change while the gateway runs: no request is lost, and what nginx refuses changes nothing."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from http.client import HTTPConnection

import pytest

from checks.gateway import gateway_files, gateway_reload
from host_access.outcome import CheckFailed
from planning.gateway import config as gw
from planning.hosts.images import image_names
from tests.integration.gateway_load import CHAT, Load
from tests.integration.gateway_rig import ALICE, CONFIG, KEYS, Gateway, bearer, docker
from tests.polling import until

pytestmark = pytest.mark.integration
NEW_KEY = "Carol-" * 8


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    # A stream must outlast the changes.
    made = Gateway(f"gwreload-{secrets.token_hex(3)}", CONFIG.model_copy(update={"timeout_s": 60}))
    try:
        made.up()
        made.add_backend()
        until(lambda: made.get("/v1/models", bearer(ALICE)).status == 200, "the backend is found", 5)
        yield made
    finally:
        made.down()


def apply(gateway: Gateway, keys: dict[str, str]) -> None:
    """As an `up` does it."""
    files = gateway.files(keys)
    gateway_files({"image": image_names()["nginx"], "files": files})
    gateway.deliver(files)
    gateway_reload({"container": f"{gateway.name}-gateway"})


def test_under_load_a_key_is_added_and_one_taken_away_without_losing_a_request(gateway) -> None:
    started = docker("inspect", "-f", "{{.Id}} {{.State.StartedAt}}", f"{gateway.name}-gateway")
    stream = gateway.connect()
    body = b'{"chunks": 3}'
    stream.sendall(f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\n{bearer(ALICE)}\r\nContent-Length: {len(body)}\r\n\r\n"
                   .encode() + body)  # fmt: skip
    received = stream.recv(4096)
    with Load(lambda: HTTPConnection("127.0.0.1", gateway.ports[gw.API_PORT], timeout=20), ALICE) as load:
        until(lambda: load.answers[200] > 200, "the load runs", 20)
        for turn in range(2):
            apply(gateway, {**KEYS, "carol": NEW_KEY})
            assert gateway.get("/v1/models", bearer(NEW_KEY)).status == 200, turn
            apply(gateway, KEYS)
            assert gateway.get("/v1/models", bearer(NEW_KEY)).status == 401, turn
        before = load.answers[200]
        until(lambda: load.answers[200] > before + 200, "the load goes on", 20)
    assert set(load.answers) == {200}, load.answers
    for _ in range(2):
        gateway.backends[-1].control("/release", "POST")
    while b"\r\n0\r\n\r\n" not in received:
        piece = stream.recv(4096)
        assert piece, "the stream that ran through all of it was cut"
        received += piece
    stream.close()
    assert docker("inspect", "-f", "{{.Id}} {{.State.StartedAt}}", f"{gateway.name}-gateway") == started


@pytest.mark.parametrize(("file", "text", "named"), [
    (gw.NGINX_CONF, "nonsense;", "nonsense"),
    (gw.CLIENT_KEYS_CONF, "map $credential $key_name {", "gateway-clients.conf"),
])  # fmt: skip
def test_what_nginx_refuses_is_found_before_anything_is_touched(gateway, file, text, named) -> None:
    files = {**gateway.files(KEYS), file: text}
    with pytest.raises(CheckFailed) as refused:
        gateway_files({"image": image_names()["nginx"], "files": files})
    assert named in refused.value.got
    assert ALICE not in refused.value.report()
    assert gateway.get("/v1/models", bearer(ALICE)).status == 200


def test_files_that_are_broken_all_the_same_leave_the_running_configuration_in_use(gateway) -> None:
    gateway.deliver({**gateway.files(KEYS), gw.NGINX_CONF: "nonsense;"})
    with pytest.raises(CheckFailed, match="nonsense"):
        gateway_reload({"container": f"{gateway.name}-gateway"})
    assert gateway.get("/v1/models", bearer(ALICE)).status == 200
    apply(gateway, KEYS)
