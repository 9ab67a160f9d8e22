"""What env.sh puts on a shell's environment, and what it leaves to the user."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

import lab.engine
import lab.hub
import toolchain.installation
from planning.hosts.images import IMAGES_FILE, image_names
from quickstart import environment, pulumi_state, up


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine on which nothing of ours was made yet."""
    for name in ("DOCKER_HOST", "HF_ENDPOINT", "PULUMI_BACKEND_URL", "PULUMI_CONFIG_PASSPHRASE_FILE", "PULUMI_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("PULUMI_CONFIG_PASSPHRASE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(toolchain.installation, "installed", lambda: None)
    monkeypatch.setattr(lab.engine, "docker_host_in_use", lambda: None)
    monkeypatch.setattr(lab.hub, "endpoint_in_use", lambda: None)
    return tmp_path


def test_state_and_passphrase_of_the_clone_are_the_default(bare: Path) -> None:
    found = environment.variables()
    assert found["PULUMI_BACKEND_URL"] == pulumi_state.backend_url()
    assert found["PULUMI_CONFIG_PASSPHRASE_FILE"] == str(pulumi_state.PASSPHRASE_FILE)
    assert "DOCKER_HOST" not in found


@pytest.mark.usefixtures("bare")
def test_a_backend_and_a_passphrase_that_the_user_chose_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_BACKEND_URL", "s3://states")
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "mine")
    found = environment.variables()
    assert "PULUMI_BACKEND_URL" not in found
    assert "PULUMI_CONFIG_PASSPHRASE_FILE" not in found


@pytest.mark.usefixtures("bare")
def test_requests_at_a_time_are_bounded_unless_the_user_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PULUMI_PARALLEL", raising=False)
    assert int(environment.variables()["PULUMI_PARALLEL"]) < 10  # from the tenth login on, sshd drops some
    monkeypatch.setenv("PULUMI_PARALLEL", "64")
    assert "PULUMI_PARALLEL" not in environment.variables()


def test_an_earlier_login_counts_as_a_choice(bare: Path) -> None:
    credentials = bare / ".pulumi" / "credentials.json"
    credentials.parent.mkdir()
    credentials.write_text('{"current": "https://api.pulumi.com"}')
    assert "PULUMI_BACKEND_URL" not in environment.variables()


@pytest.mark.usefixtures("bare")
def test_the_labs_daemon_and_hub_are_exported_only_where_nothing_was_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lab.engine, "docker_host_in_use", lambda: "unix:///run/lab.sock")
    monkeypatch.setattr(lab.hub, "endpoint_in_use", lambda: "http://172.17.0.1:8790")
    assert environment.variables()["DOCKER_HOST"] == "unix:///run/lab.sock"
    monkeypatch.setenv("DOCKER_HOST", "ssh://gpu@host")
    assert "DOCKER_HOST" not in environment.variables()
    assert environment.variables()["HF_ENDPOINT"] == "http://172.17.0.1:8790"


@pytest.mark.usefixtures("bare")
def test_sourcing_twice_does_not_grow_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    once = environment.variables()["PATH"]
    monkeypatch.setenv("PATH", once)
    assert environment.variables()["PATH"] == once


def test_the_images_of_dev_are_read_without_a_yaml_library() -> None:
    names = image_names()
    services = yaml.safe_load(IMAGES_FILE.read_text(encoding="utf-8"))["services"]
    assert names == {service: found["image"] for service, found in services.items()}
    assert set(up.IMAGE_SERVICES) <= set(names)
