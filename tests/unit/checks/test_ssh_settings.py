"""How a host is reached: options from settings, and what is refused."""

from __future__ import annotations

import base64

import pytest
from pydantic import ValidationError

from planning.hosts.ssh import SshHost, host_facts
from planning.rules.hosts import host_errors
from planning.settings.areas import HostSettings
from planning.settings.host_key import BadHostKey, check_host_key

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
RSA = "ssh-rsa " + base64.b64encode(b"\x00\x00\x00\x07ssh-rsa" + bytes(64)).decode()


def options(**settings: object) -> str:
    host = SshHost.of(HostSettings.model_validate({"docker": "ssh://gpu@10.0.0.5:2222", **settings}))
    assert host is not None
    return " ".join(host.provider_options())


def test_a_local_daemon_stays_what_it_was() -> None:
    assert host_facts(HostSettings()) is None
    assert host_facts(HostSettings(docker="unix:///run/docker.sock")) == "unix:///run/docker.sock"


def test_the_facts_of_an_ssh_host_are_enough_to_reach_it() -> None:
    settings = HostSettings(docker="ssh://gpu@10.0.0.5", host_key=KEY, identity_file="~/.ssh/gpu", parallel=2)
    facts = host_facts(settings)
    assert isinstance(facts, dict)
    assert SshHost.from_facts(facts) == SshHost.of(settings)


def test_options_never_depend_on_the_machine_that_pulumi_runs_on() -> None:
    rendered = options(host_key=KEY, identity_file="~/.ssh/gpu")
    assert "ControlPath=~/.pageindex-" in rendered
    assert "/root" not in rendered


def test_the_control_socket_is_another_one_when_the_pin_changes() -> None:
    one, other = (next(word for word in options(host_key=key).split() if "ControlPath" in word) for key in (KEY, RSA))
    assert one != other
    assert len(one) < 60


def test_a_pinned_key_leaves_no_other_way_to_be_believed() -> None:
    rendered = options(host_key=KEY)
    assert "UserKnownHostsFile=/dev/null" in rendered
    assert "GlobalKnownHostsFile=/dev/null" in rendered
    assert "VerifyHostKeyDNS=no" in rendered
    assert "HostKeyAlgorithms=ssh-ed25519" in rendered


def test_an_rsa_key_does_not_sign_with_sha1() -> None:
    assert "HostKeyAlgorithms=rsa-sha2-512,rsa-sha2-256" in options(host_key=RSA)


def test_a_known_hosts_file_replaces_the_users_own() -> None:
    rendered = options(known_hosts_file="~/hosts")
    assert "UserKnownHostsFile=~/hosts" in rendered
    assert "KnownHostsCommand=none" in rendered


@pytest.mark.parametrize(
    ("key", "word"),
    [
        ("10.0.0.5 " + KEY, "without host name"),
        (KEY + " root@host", "and comment"),
        ("ssh-ed25519 AAAA$(reboot)", "must be"),
        (KEY.replace("ssh-ed25519", "ssh-rsa"), "is not a key of type ssh-rsa"),
        (KEY[:-3], "cut off"),
        ("ssh-dss AAAAB3NzaC1kc3M=", "must be"),
    ],
)
def test_what_is_no_public_key_is_refused(key: str, word: str) -> None:
    with pytest.raises(BadHostKey, match=word):
        check_host_key(key)
    with pytest.raises(ValidationError):
        HostSettings(docker="ssh://h", host_key=key)


@pytest.mark.parametrize("path", ["id with space", "~/id %h", 'x"y', "relative"])
def test_a_path_that_ssh_would_read_otherwise_is_refused(path: str) -> None:
    with pytest.raises(ValidationError):
        HostSettings(docker="ssh://h", host_key=KEY, identity_file=path)


def problems(**settings: object) -> list[tuple[str, str, str]]:
    host = HostSettings.model_validate(settings)
    return [(problem.key, problem.reason, problem.mend) for problem in host_errors("prod", host)]


def test_an_ssh_host_without_a_key_is_a_fault_that_says_how_to_get_it_and_to_compare_it() -> None:
    [(key, reason, mend)] = problems(docker="ssh://gpu@10.0.0.5:2222")
    assert key == "host.host_key"
    assert "compare it" in reason
    scan = "ssh-keyscan -t ed25519 -p 2222 10.0.0.5 2>/dev/null | cut -d' ' -f2,3"
    assert mend == f'pulumi config set -s prod --path host.host_key "$({scan})"'


def test_a_key_or_a_known_hosts_file_is_enough_and_both_are_one_too_many() -> None:
    assert problems(docker="ssh://h", host_key=KEY) == []
    assert problems(docker="ssh://h", known_hosts_file="~/hosts") == []
    [(key, _, _)] = problems(docker="ssh://h", host_key=KEY, known_hosts_file="~/hosts")
    assert key == "host.known_hosts_file"


def test_ssh_settings_of_a_local_daemon_are_faults() -> None:
    found = problems(host_key=KEY, identity_file="~/id")
    assert [key for key, _, _ in found] == ["host.host_key", "host.identity_file"]


def test_a_port_that_cannot_be_is_a_fault() -> None:
    [(key, _, mend)] = problems(docker="ssh://gpu@h:99999", host_key=KEY)
    assert key == "host.docker"
    assert mend.endswith("ssh://gpu@h")


def test_the_user_is_told_how_to_reach_the_ports() -> None:
    host = SshHost(address="ssh://gpu@10.0.0.5:2222", identity_file="~/.ssh/gpu")
    assert host.user_command([8000, 3000]) == (
        "ssh -N -i ~/.ssh/gpu -p 2222 -L 8000:127.0.0.1:8000 -L 3000:127.0.0.1:3000 gpu@10.0.0.5"
    )
