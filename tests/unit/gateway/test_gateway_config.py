"""What is rendered for the gateway, and what is refused before anything is rendered."""

from __future__ import annotations

import json
import re
from datetime import date, timedelta

import pytest
from pydantic import ValidationError

from planning.gateway.config import API_PORT, APP_PORT, GatewayConfig
from planning.gateway.errors import ERRORS
from planning.gateway.keys import expiry_map, later_than, render_client_keys, render_upstream_key
from planning.gateway.nginx_conf import gateway_files, render_nginx_conf
from planning.hosts.names import FILES_PATH
from planning.settings.gateway import ClientSettings

KEY = "Key-of_a-client" * 3
BASE = GatewayConfig(vllm_replicas=("vllm-0:8000",), app="pageindex:3000")


def config(**changes: object) -> GatewayConfig:
    return GatewayConfig.model_validate(BASE.model_dump() | changes)


def block(text: str, opening: str) -> str:
    """The nginx block that starts with ``opening``, braces counted."""
    start = text.index(opening)
    depth = 0
    for position, char in enumerate(text[start:], start):
        depth += {"{": 1, "}": -1}.get(char, 0)
        if char == "}" and depth == 0:
            return text[start : position + 1]
    raise AssertionError(f"{opening} is never closed")


def test_no_slot_stays_open_and_braces_balance() -> None:
    for text in (render_nginx_conf(BASE), render_nginx_conf(config(app=None))):
        assert "{{" not in text
        bare = re.sub(r"'[^']*'|\"[^\"]*\"|#.*", "", text)
        assert bare.count("{") == bare.count("}")


def test_the_same_settings_give_the_same_text() -> None:
    assert render_nginx_conf(BASE) == render_nginx_conf(config())


def test_every_listed_path_has_an_exact_location_that_sends_that_very_path() -> None:
    text = render_nginx_conf(config(post_paths=("/v1/completions", "/v1/rerank"), app=None))
    exact = set(re.findall(r"location = (/v1\S*) \{", text))
    assert exact == {"/v1/models", "/v1/completions", "/v1/rerank"}
    for path in exact:
        assert f"proxy_pass http://$vllm_upstream{path};" in block(text, f"location = {path} {{")


def test_every_proxied_location_asks_for_a_key_before_anything_else() -> None:
    text = render_nginx_conf(BASE)
    public = [f"location {sign} {path} {{" for path in BASE.public_app_paths for sign in ("=", "^~")]
    for opening in re.findall(r"location [^{]+\{", text):
        body = block(text, opening)
        if "proxy_pass" in body and "@again" not in opening and opening not in public:
            assert re.match(r'location [^{]+\{\s+if \(\$client = ""\) \{ return 401; \}', body), opening


def test_no_rule_rests_on_what_has_had_holes() -> None:
    """Regex locations and rewrites with unnamed captures: CVE-2026-42945, CVE-2026-9256."""
    text = render_nginx_conf(BASE)
    assert not re.search(r"location\s+~", text)
    assert not re.search(r"^\s*rewrite\s", text, re.MULTILINE)
    assert not re.search(r"\$[1-9]", text)
    expressions = re.findall(r'"~\*?([^"]*)"', text) + re.findall(r'!~\*? "([^"]*)"', text)
    for expression in expressions:
        assert re.search(r"(?<!\\)\((?!\?)", expression) is None, expression


def test_without_an_app_its_port_is_not_even_open() -> None:
    assert f"listen {APP_PORT}" in render_nginx_conf(BASE)
    text = render_nginx_conf(config(app=None))
    assert str(APP_PORT) not in text
    assert f"listen {API_PORT}" in text


def test_upstreams_are_looked_up_while_running_and_come_back_quickly() -> None:
    replicated = config(vllm_replicas=("vllm-0:8000", "vllm-1:8000"))
    text = block(render_nginx_conf(replicated), "upstream vllm {")
    assert "include /var/tmp/replicas.conf;" in text
    assert gateway_files(replicated)["replicas.conf"].count("resolve max_fails=1 fail_timeout=2s;") == 2
    assert "zone vllm" in text
    assert text.index("least_conn") < text.index("keepalive")


def test_settings_arrive_in_the_text() -> None:
    text = render_nginx_conf(config(
        max_body_mib=7, timeout_s=77, header_timeout_s=8, body_timeout_s=9, retry_after_s=11, drain_s=12,
        workers=3, server_names=("ai.example.com", "[::1]"), resolver="10.0.0.53",
    ))  # fmt: skip
    for line in (
        "client_max_body_size 7m;", "proxy_read_timeout 77s;", "client_header_timeout 8s;", "client_body_timeout 9s;",
        '"503:" $outage_s;', "worker_shutdown_timeout 12s;", "worker_processes 3;", "server_name ai.example.com [::1];",
        "resolver 10.0.0.53 valid=1s",
    ):  # fmt: skip
        assert line in text


def test_clients_with_the_same_limit_share_a_zone_and_are_not_counted_twice() -> None:
    text = render_nginx_conf(config(
        default_limits={"requests_per_minute": 600},
        clients={"a": {"requests_per_minute": 60}, "b": {"requests_per_minute": 60}, "c": {"requests_per_minute": 600}},
    ))  # fmt: skip
    assert re.findall(r"limit_req_zone \$requests_(\d+) zone=requests_\1:256k rate=\1r/m;", text) == ["600", "60"]
    assert re.findall(r"limit_req zone=requests_(\d+) burst=(\d+) nodelay;", text) == [("600", "599"), ("60", "59")]
    default_group, slow_group = block(text, "map $client $requests_600 {"), block(text, "map $client $requests_60 {")
    assert re.findall(r'^ +(\w) "";', default_group, re.MULTILINE) == ["a", "b"]
    assert re.findall(r"^ +(\w) \1;", slow_group, re.MULTILINE) == ["a", "b"]
    assert 'default "";' in slow_group


def test_a_client_called_default_has_limits_of_its_own() -> None:
    text = render_nginx_conf(config(clients={"default": {"requests_per_minute": 60}}))
    assert r"\default default;" in block(text, "map $client $requests_60 {")
    assert '"default"' not in text, "a word of nginx's own"


def test_one_request_a_minute_needs_no_burst() -> None:
    text = render_nginx_conf(config(clients={"rare": {"requests_per_minute": 1}}))
    assert "limit_req zone=requests_1 nodelay;" in text
    assert " rare 60;" in block(text, "map $client $client_retry_after {")


def test_a_restricted_client_is_refused_outside_its_paths() -> None:
    text = render_nginx_conf(config(clients={"ocr": {"allowed_paths": ["/v1/models", "/api/x.y/"]}}))
    [expression] = re.findall(r'"~(\^ocr [^"]*)" 1;', text)
    verdicts = {path: bool(re.match(expression, f"ocr {path}")) for path in (
        "/v1/models", "/v1/models/x", "/v1/modelsx", "/v1/completions", "/api/x.y", "/api/x.y/z", "/api/xzy", "/",
    )}  # fmt: skip
    assert [path for path, refused in verdicts.items() if not refused] == [
        "/v1/models", "/v1/models/x", "/api/x.y", "/api/x.y/z",
    ]  # fmt: skip
    assert text.count("if ($path_refused)") == text.count('if ($client = "") { return 401; }')
    assert "path_refused" not in render_nginx_conf(BASE)


def test_an_open_folder_of_the_app_is_a_prefix_and_an_open_page_is_exact() -> None:
    text = render_nginx_conf(config(public_app_paths=("/", "/health", "/static/")))
    assert "location = / {" in text
    assert "proxy_pass http://app/health;" in block(text, f"location = /health {{\n{' ' * 12}if")
    assert "proxy_pass http://app;" in block(text, "location ^~ /static/ {")


def test_the_apps_event_streams_may_be_silent_longer_than_other_answers() -> None:
    text = render_nginx_conf(config(timeout_s=5))
    for opening in ("location = /api/events {", "location = /mcp {", "location ^~ /mcp/ {"):
        assert "proxy_read_timeout 60s;" in block(text, opening)
    assert "proxy_read_timeout" not in block(text, "location ^~ /api/ {")
    assert "proxy_read_timeout 300s;" in block(render_nginx_conf(BASE), "location = /api/events {")


def test_a_path_of_the_app_is_open_with_what_is_below_it_and_nothing_that_only_begins_like_it() -> None:
    text = render_nginx_conf(BASE)
    for path in BASE.app_paths:
        assert f"location = {path} {{" in text
        assert f"location ^~ {path}/ {{" in text
        assert f"location ^~ {path} {{" not in text


def test_every_error_is_json_as_openai_clients_expect_it() -> None:
    bodies = re.findall(r"^\s+(\d{3}) '(\{.*\})';$", render_nginx_conf(BASE), re.MULTILINE)
    assert [int(status) for status, _ in bodies] == list(ERRORS)
    for _, body in bodies:
        assert set(json.loads(body)["error"]) == {"message", "type", "param", "code"}
        assert not set("$'\\") & set(body)


def test_with_tls_both_published_ports_speak_it_and_the_inner_ones_do_not() -> None:
    text = render_nginx_conf(config(tls=True))
    listening = re.findall(r"listen (\S+?)( ssl)?(?: [^;]*)?;", text)
    assert {port for port, tls in listening if tls} == {str(API_PORT), str(APP_PORT)}
    assert all(tls for port, tls in listening if port in {str(API_PORT), str(APP_PORT)})
    assert "ssl_protocols TLSv1.2 TLSv1.3;" in text
    assert "ssl" not in re.sub(r"#.*", "", render_nginx_conf(BASE))


def test_secrets_live_in_their_own_files() -> None:
    clients, upstream = render_client_keys({"alice": KEY}), render_upstream_key("U" * 32)
    assert KEY in clients
    assert "U" * 32 in upstream
    text = render_nginx_conf(BASE)
    assert f"include {FILES_PATH}/gateway-clients.conf;" in text
    assert f"include {FILES_PATH}/gateway-upstream.conf;" in text


def test_a_key_is_found_by_a_hash_and_compared_beside_its_name() -> None:
    text = render_client_keys({"alice": KEY, "bob": "b" * 32, "bob@next": "c" * 200})
    assert re.findall(r"^ {4}(\S{32,}) \"(\S+) (\S+)\";$", text, re.MULTILINE) == [
        (KEY, KEY, "alice"), ("b" * 32, "b" * 32, "bob"), ("c" * 200, "c" * 200, "bob@next"),
    ]  # fmt: skip


def test_a_day_is_over_only_for_times_after_it() -> None:
    for text in ("2026-11-21", "2027-12-31", "2099-09-09", "2028-02-29"):
        day = date.fromisoformat(text)
        for distance in (-4000, -366, -32, -31, -1, 0, 1, 9, 10, 28, 31, 40, 365, 3000):
            now = f"{day + timedelta(days=distance)}T23:59:59+00:00"
            assert bool(re.match(later_than(day), now)) == (distance > 0), (text, now)


def test_a_clients_day_is_for_all_of_its_keys_and_a_keys_day_for_that_key() -> None:
    lines = expiry_map({"alice": "2026-11-21"}, {"bob": "2026-11-21", "eve@old": "2026-11-21"})
    expressions = re.findall(r'"~([^"]*)" expired/;', "\n".join(lines))
    expired = {
        name for name in ("alice", "alice@new", "alicex", "bob", "bob@new", "eve", "eve@old")
        if any(re.match(expression, f"{name} 2026-11-22T00:00:00+00:00") for expression in expressions)
    }  # fmt: skip
    assert expired == {"alice", "alice@new", "bob", "eve@old"}
    assert not any(re.match(expression, "alice 2026-11-21T23:59:59+00:00") for expression in expressions)


@pytest.mark.parametrize(("keys", "complaint"), [
    ({}, "no client has a key"),
    ({"alice": "k" * 31}, "'alice' has 31 characters, wants 32 to 200"),
    ({"alice": "k" * 201}, "'alice' has 201 characters"),
    ({"alice": "k" * 40 + "$"}, "character 41 is none of"),
    ({"alice": "k" * 40 + "\n"}, "character 41 is none of"),
    ({"alice": "ké" + "k" * 40}, "character 2 is none of"),
    ({"alice": '";' + "k" * 40}, "character 1 is none of"),
    ({"alice": KEY, "alice@next": KEY}, "'alice' and 'alice@next' have the same key"),
    ({"alice@": KEY}, "client name 'alice@'"),
    ({"@next": KEY}, "client name '@next'"),
    ({"alice": KEY, "bob": KEY}, "'alice' and 'bob' have the same key"),
    ({"alice": KEY, "bob": KEY.swapcase()}, "'alice' and 'bob' have the same key, or keys that differ in case alone"),
    ({"Alice": KEY}, "client name 'Alice'"),
    ({"": KEY}, "client name ''"),
    ({"a b": KEY}, "client name 'a b'"),
    ({"alice\n": KEY}, "client name"),
])  # fmt: skip
def test_a_bad_key_or_name_is_refused_without_repeating_the_key(keys: dict[str, str], complaint: str) -> None:
    with pytest.raises(ValueError, match=re.escape(complaint)) as error:
        render_client_keys(keys)
    assert "kkk" not in str(error.value)
    assert KEY.lower() not in str(error.value).lower()


def test_vllms_own_key_is_checked_too() -> None:
    with pytest.raises(ValueError, match="the key of vLLM has 5 characters"):
        render_upstream_key("short")


@pytest.mark.parametrize(("field", "value"), [
    ("vllm_replicas", ["vllm-0"]),
    ("vllm_replicas", ["vllm-0:8000; evil"]),
    ("app", "pageindex:0"),
    ("server_names", []),
    ("server_names", ["~^.*$"]),
    ("server_names", ["*.example.com"]),
    ("server_names", ["a b"]),
    ("post_paths", ["v1/x"]),
    ("post_paths", ["/v1/../metrics"]),
    ("post_paths", ["/v1/x {}"]),
    ("post_paths", ["/"]),
    ("post_paths", ["/v1/models"]),
    ("get_paths", ["/health"]),
    ("public_app_paths", ["/x", "/x"]),
    ("public_app_paths", ["//x"]),
    ("clients", {"Alice": {}}),
    ("clients", {"alice": {"requests_per_minute": 0}}),
    ("clients", {"alice": {"expires": "soon"}}),
    ("key_expires", {"a b": "2027-01-01"}),
    ("clients", {"alice": {"allowed_paths": ["/v1/.*"]}}),
    ("max_body_mib", 0),
    ("timeout_s", -1),
    ("workers", 0),
    ("resolver", "127.0.0.11; evil"),
    ("unheard_of", 1),
])  # fmt: skip
def test_a_setting_that_nginx_would_misread_is_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(ValidationError, match=field):
        config(**{field: value})


def test_restricting_everybody_by_default_is_refused() -> None:
    with pytest.raises(ValidationError, match="default_limits"):
        config(default_limits=ClientSettings(allowed_paths=["/v1/models"]))


def test_the_container_gets_room_for_bodies_and_time_to_finish() -> None:
    assert BASE.tmpfs_mib > 10 * BASE.max_body_mib
    assert BASE.stop_timeout_s > BASE.shutdown_s
