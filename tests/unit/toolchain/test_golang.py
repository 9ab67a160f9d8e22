"""Which Go is taken, and what is said about one that can't be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from machine.console import Step, StepFailed
from toolchain import golang
from toolchain.parts import PARTS


@pytest.fixture
def go(program: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """A `go` on PATH that says it is of that version."""

    def make(version: str, toolchain: str = "local") -> Path:
        folder = program("go", f"""echo '{{"GOVERSION": "{version}", "GOTOOLCHAIN": "{toolchain}"}}'""")
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
        return folder / "go"

    return make


@pytest.fixture(autouse=True)
def nothing_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(golang, "INSTALLED_BY_HAND", Path("/nonexistent/go"))


def test_a_missing_go_is_reported_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(StepFailed, match="Go is not installed") as failure:
        golang.find_go()
    assert failure.value.mend.startswith("curl -fsSL https://go.dev/dl/go")


@pytest.mark.parametrize(("version", "toolchain"), [("go1.24.9", "local"), ("go1.19.8", "auto"), ("go1.22.0", "local")])
def test_a_go_that_is_too_old_is_named_with_the_one_that_is_needed(
    go: Callable[[str, str], Path], version: str, toolchain: str
) -> None:
    path = go(version, toolchain)
    with pytest.raises(StepFailed) as failure:
        golang.find_go()
    assert failure.value.what == f"{path} is {version}, and Pulumi needs Go {golang.required_version()} or newer"
    assert "go.dev/dl" in failure.value.mend


@pytest.mark.parametrize(
    ("version", "toolchain"),
    [("go1.26.8", "local"), ("go1.30", "local"), ("go1.22.0", "auto"), ("go1.21.0", "go1.21.0+auto")],
)
def test_a_go_that_is_new_enough_or_fetches_a_newer_one_itself_is_taken(
    go: Callable[[str, str], Path], version: str, toolchain: str
) -> None:
    path = go(version, toolchain)
    assert golang.find_go() == path


def test_a_go_that_does_not_run_is_reported(
    program: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{program('go', 'echo broken >&2; exit 1')}:/usr/bin:/bin")
    with pytest.raises(StepFailed, match="does not run: broken"):
        golang.find_go()


def test_gos_output_becomes_one_bar_of_all_parts() -> None:
    step = Step("build")
    shown: list[tuple[float, float]] = []
    step.progress = lambda done, total, unit="": shown.append((done, total))  # type: ignore[method-assign]
    progress = golang.Progress(step, PARTS)
    output = golang._GoOutput(PARTS[0], progress)
    output.say("go: downloading github.com/pulumi/pulumi/pkg/v3 v3.259.0")
    output.say("github.com/pulumi/pulumi/pkg/v3/cmd/pulumi")
    output.say("net/http")
    progress.complete(PARTS[1])
    total = sum(part.packages for part in PARTS)
    assert shown == [(1, total), (2, total), (2 + PARTS[1].packages, total)]


def test_the_users_proxy_stays_and_what_would_change_the_result_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOPROXY", "https://proxy.example")
    monkeypatch.setenv("GOFLAGS", "-mod=mod")
    monkeypatch.setenv("GOOS", "plan9")
    golang.go_environment.cache_clear()
    environment = golang.go_environment()
    golang.go_environment.cache_clear()
    assert environment["GOPROXY"] == "https://proxy.example"
    assert "-mod=readonly" in environment["GOFLAGS"]
    assert "GOOS" not in environment
