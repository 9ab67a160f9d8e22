"""The user's own Pulumi goes first; ours counts only when it is complete."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import toolchain
from machine.console import StepFailed
from toolchain import building, installation
from toolchain.__main__ import export_lines, main
from toolchain.parts import PARTS

Program = Callable[[str, str], Path]


@pytest.fixture
def refuse_to_build(monkeypatch: pytest.MonkeyPatch) -> None:
    def build_parts(*_: object) -> None:
        raise AssertionError("nothing may be built")

    monkeypatch.setattr(building, "build_parts", build_parts)


def put_first(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


@pytest.mark.usefixtures("refuse_to_build")
def test_a_pulumi_on_path_is_used_and_nothing_is_built(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = program("pulumi", "echo v3.230.1")
    put_first(monkeypatch, folder)
    found = toolchain.ensure()
    assert found == toolchain.Toolchain(bin_dir=folder, pulumi_home=None)
    assert not found.is_ours
    assert export_lines(found) == []


@pytest.mark.parametrize("says", ["echo v3.100.0", "echo v2.9.0", "echo nonsense", "exit 1"])
def test_a_pulumi_that_is_too_old_or_says_no_version_is_not_used(
    program: Program, monkeypatch: pytest.MonkeyPatch, says: str
) -> None:
    put_first(monkeypatch, program("pulumi", says))
    assert installation.installed() is None


def test_a_development_version_of_pulumi_is_understood(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    put_first(monkeypatch, program("pulumi", "echo v3.260.0-alpha.1a2b3c"))
    assert installation.installed() is not None


def test_a_pulumi_on_path_is_asked_for_its_version_once(
    program: Program, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = tmp_path / "asked"
    folder = program("pulumi", f"echo x >> {asked}; echo v3.230.1")
    put_first(monkeypatch, folder)
    for _ in range(3):
        assert installation.installed() is not None
    assert asked.read_text() == "x\n"
    program("pulumi", f"echo x >> {asked}; echo 'v3.1.0'")  # another file: the answer no longer counts
    assert installation.installed() is None


def test_our_own_pulumi_on_path_is_not_taken_for_the_users(
    built: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    built()
    building.assemble(installation.ours())
    bin_dir = installation.ours().bin_dir
    (bin_dir / "pulumi").chmod(0o755)
    put_first(monkeypatch, bin_dir)
    assert installation.installed() == installation.ours()


def test_ours_is_complete_only_with_every_plugin_in_place(built: Callable[[], None]) -> None:
    assert installation.installed() is None
    built()
    assert installation.installed() is None
    building.assemble(installation.ours())
    found = installation.installed()
    assert found is not None
    assert found.pulumi_home is not None
    for part in (part for part in PARTS if part.plugin):
        plugin = found.pulumi_home / "plugins" / f"resource-{part.plugin}-v{part.version}" / part.binary
        assert plugin.read_text() == part.title
        plugin.unlink()
        assert installation.installed() is None
        building.assemble(found)
    assert sorted(path.name for path in found.bin_dir.iterdir()) == [
        "pulumi",
        "pulumi-language-python",
        "pulumi-language-python-exec",
    ]


def test_a_plugin_of_the_same_version_from_other_sources_is_replaced(built: Callable[[], None]) -> None:
    built()
    ours = installation.ours()
    building.assemble(ours)
    part = next(part for part in PARTS if part.plugin)
    assert ours.pulumi_home is not None
    plugin = installation.plugin_path(ours.pulumi_home, part)
    plugin.unlink()
    plugin.write_text("built from older sources")
    assert installation.installed() is None
    assert toolchain.ensure() == ours
    assert plugin.read_text() == part.title
    assert [path.name for path in plugin.parent.iterdir()] == [part.binary]


def test_the_export_lines_survive_a_shell_and_lead_path_once(
    built: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    built()
    building.assemble(installation.ours())
    script = "\n".join(export_lines(installation.ours())) + '\necho "$PATH"; echo "$PULUMI_HOME"'
    answer = subprocess.run(["/bin/sh", "-eu", "-c", script], capture_output=True, text=True, check=True)
    path, home = answer.stdout.splitlines()
    assert path == f"{installation.ours().bin_dir}:/usr/bin:/bin"
    assert home == str(installation.ours().pulumi_home)
    monkeypatch.setenv("PATH", path)
    assert not [line for line in export_lines(installation.ours()) if line.startswith("export PATH")]


@pytest.mark.parametrize("command", ["env", "path"])
def test_asking_before_anything_is_built_says_what_to_run(command: str) -> None:
    with pytest.raises(StepFailed) as failure:
        main([command])
    assert failure.value.mend == "python3 -m toolchain"


def test_an_unknown_command_shows_the_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bild"]) == 2
    assert "usage: python3 -m toolchain" in capsys.readouterr().err


def test_clean_leaves_nothing(built: Callable[[], None], cache: Path) -> None:
    built()
    building.assemble(installation.ours())
    installation.clean()
    assert list(cache.iterdir()) == []
