"""What the lines of nginx' log add up to, and when a replica is said to hang."""

from __future__ import annotations

import importlib.util
import threading
from pathlib import Path
from types import ModuleType

import pytest
from prometheus_client.parser import text_string_to_metric_families

from planning.gateway import config as gw
from planning.gateway.replicas import STATE_DIR
from tests.polling import until

SCRIPT = Path(__file__).resolve().parents[3] / "services" / "gateway" / gw.METRICS_SCRIPT
ADDRESS = "vllm-0:8000"


@pytest.fixture
def metrics() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gateway_metrics_script", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def line(client: str = "alice", status: int = 200, upstream: str = "10.0.0.2:8000", seconds: str = "0.040",
         first_byte: str = "0.020", rate: str = "PASSED", number: str = "PASSED") -> str:  # fmt: skip
    return "\t".join([client, "8080", str(status), upstream, seconds, first_byte, rate, number])


def totals(lines: list[str]) -> dict[tuple[str, str], float]:
    """(metric, its labels as text) to value."""
    families = text_string_to_metric_families("\n".join([*lines, ""]))
    return {(sample.name, str(sorted(sample.labels.items()))): sample.value
            for family in families for sample in family.samples}  # fmt: skip


def test_the_script_and_the_deployment_agree_on_places(metrics: ModuleType) -> None:
    assert metrics.PORT == gw.METRICS_PORT
    assert metrics.LINES.parent == Path(gw.METRICS_DIR)
    assert str(metrics.STATE) == STATE_DIR


def test_a_request_that_moved_on_counts_for_the_replica_that_answered(metrics: ModuleType) -> None:
    requests = metrics.Requests()
    requests.add(line(upstream="10.0.0.2:8000, 10.0.0.3:8000", first_byte="-, 0.300"))
    requests.add(line(upstream="-", first_byte="-", status=503))
    found = totals(list(requests.lines()))
    counted = {labels: value for (name, labels), value in found.items() if name == "pageindex_gateway_requests_total"}
    assert {("10.0.0.3:8000" in labels, "503" in labels): value for labels, value in counted.items()} == {
        (True, False): 1.0, (False, True): 1.0,
    }  # fmt: skip
    assert found["pageindex_gateway_first_byte_seconds_sum", "[('port', '8080')]"] == 0.3


def test_a_replica_that_a_request_moved_on_from_is_counted_and_a_group_of_nobody_is_not(metrics: ModuleType) -> None:
    requests = metrics.Requests()
    requests.add(line(upstream="10.0.0.2:8000, 10.0.0.3:8000"), 2)
    requests.add(line(upstream="10.0.0.2:8000, vllm : 10.0.0.3:8000"))
    assert requests.moved_on == {"10.0.0.2:8000": 3}
    assert {upstream for *_, upstream in requests.answered} == {"10.0.0.3:8000"}


def test_equal_lines_count_as_often_as_they_came(metrics: ModuleType) -> None:
    one_by_one, at_once = metrics.Requests(), metrics.Requests()
    for each in (line(), line(rate="REJECTED", status=429)):
        for _ in range(3):
            one_by_one.add(each)
        at_once.add(each, 3)
    assert list(at_once.lines()) == list(one_by_one.lines())
    assert sum(at_once.answered.values()) == 6


def test_a_line_that_is_not_whole_is_left_out(metrics: ModuleType) -> None:
    requests = metrics.Requests()
    for broken in ("", "alice", line() + "\tmore", line()[:20]):
        requests.add(broken)
    assert not requests.answered


def test_buckets_are_cumulative_and_the_last_one_holds_all(metrics: ModuleType) -> None:
    requests = metrics.Requests()
    for seconds in ("0.001", "0.005", "0.006", "999"):
        requests.add(line(seconds=seconds))
    found = totals(list(requests.lines()))
    buckets = {bound: value for (name, labels), value in found.items() if name.endswith("request_seconds_bucket")
               for bound in ("0.005", "0.01", "+Inf") if f"('le', '{bound}')" in labels}  # fmt: skip
    assert buckets == {"0.005": 2.0, "0.01": 3.0, "+Inf": 4.0}


def figures(running: int, generated: int, read: int = 0) -> str:
    counts = {"num_requests_running": running, "generation_tokens_total": generated, "prompt_tokens_total": read}
    return "".join(f'vllm:{name}{{engine="0"}} {value}.0\n' for name, value in counts.items()) + "vllm:other 5\n"


def test_a_replica_stands_still_only_while_requests_run_and_neither_kind_of_token_comes(metrics: ModuleType) -> None:
    replica = metrics.Replica()
    for now_s, shown, stalled_s in (
        (0, figures(0, 0), 0), (5, figures(0, 0), 0), (10, figures(2, 0), 0), (15, figures(2, 0), 5),
        (20, figures(2, 0, 9), 0), (25, figures(2, 1, 9), 0), (30, figures(2, 1, 9), 0), (90, figures(2, 1, 9), 60),
        (95, figures(0, 1, 9), 0),
    ):  # fmt: skip
        replica.look(shown, now_s)
        assert replica.stalled_s(now_s) == stalled_s, now_s


def test_a_replica_that_does_not_answer_is_down(metrics: ModuleType) -> None:
    replica = metrics.Replica()
    replica.look(None, 1.0)
    assert not replica.up


def test_lines_are_read_as_they_come_and_the_file_is_emptied_before_it_is_full(
    metrics: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "requests.log"
    file.write_text(line() + "\n")  # from before: in nobody's counters
    for name, value in {"LINES": file, "EMPTY_ABOVE_BYTES": 2000, "READ_EVERY_S": 0.005}.items():
        monkeypatch.setattr(metrics, name, value)
    requests = metrics.Requests()
    threading.Thread(target=metrics.read_lines, args=(requests,), daemon=True).start()
    looked = threading.Event()
    monkeypatch.setattr(metrics.time, "sleep", lambda _: looked.set() or threading.Event().wait(0.005))
    assert looked.wait(10)
    for turn in range(1, 11):
        with file.open("a") as appended:
            for _ in range(10):
                text = line() + "\n"
                appended.write(text[:10])
                appended.flush()
                appended.write(text[10:])
        until(lambda turn=turn: sum(requests.answered.values()) == 10 * turn, "all lines are counted", 10)
    assert file.stat().st_size < 3000
