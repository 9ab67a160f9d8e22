"""A stack file with secrets, read by somebody who has not its passphrase."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from planning.placeholder_secrets import main, placeholders, with_placeholders

SECRET = {"secure": "v1:abc:def"}
KEYS = "pageindex-stack:api_keys"


def test_each_secret_gets_a_stand_in_of_its_own() -> None:
    config = {KEYS: {"alice": SECRET, "alice@next": SECRET}, "pageindex-stack:hf_token": SECRET}
    given = placeholders(config)
    assert set(given) == {(KEYS, "alice"), (KEYS, "alice@next"), ("pageindex-stack:hf_token",)}
    assert len(set(given.values())) == 3


def test_a_map_encrypted_as_a_whole_has_the_names_that_the_gateway_speaks_of() -> None:
    gateway = {"clients": {"alice": {}}, "key_expires": {"alice@next": "2027-01-01"}}
    filled = with_placeholders({KEYS: SECRET, "pageindex-stack:gateway": gateway})
    assert set(filled[KEYS]) == {"alice", "alice@next"}
    assert set(with_placeholders({KEYS: SECRET})[KEYS]) == {"client"}


def test_the_file_is_left_without_secrets_and_salt_and_the_arguments_name_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "Pulumi.dev.yaml"
    config = {"pageindex-stack:model": "qwen3-8b", KEYS: {"alice@next": SECRET}}
    file.write_text(yaml.safe_dump({"config": config, "encryptionsalt": "v1:salt"}))
    main(file)
    assert yaml.safe_load(file.read_text()) == {"config": {"pageindex-stack:model": "qwen3-8b", KEYS: {}}}
    flag, argument = capsys.readouterr().out.splitlines()
    assert flag == "--secret"
    assert argument.startswith(f'{KEYS}["alice@next"]=stands-in')
