"""A key that nobody reads is never silent: mistyped ones stop the program, others are named at each preview."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from planning.settings.errors import BadStackFile
from planning.stack_files import ROOT, plan_of_file

DEV: dict[str, Any] = yaml.safe_load((ROOT / "Pulumi.dev.yaml").read_text(encoding="utf-8"))["config"]
GATEWAY = {"api_port": 8123}


def written(folder: Path, added: dict[str, Any]) -> Path:
    file = folder / "Pulumi.dev.yaml"
    file.write_text(yaml.safe_dump({"config": {**DEV, **added}}, sort_keys=False), encoding="utf-8")
    return file


@pytest.mark.parametrize(
    "key",
    [
        "pagindex-stack:gateway",
        "pageindex:gateway",
        "pageindex_stack:gateway",
        "PageIndex-Stack:gateway",
        "pageindex-stak:gateway",
        "page-index-stack:gateway",
        "pageindex-stack2:gatway",
        "mystack:gateway",
        "project:gateway",
    ],
)
def test_a_mistyped_namespace_is_an_error_whose_line_renames_the_key(tmp_path: Path, key: str) -> None:
    file = written(tmp_path, {key: GATEWAY})
    with pytest.raises(BadStackFile) as refused:
        plan_of_file(file)
    [error] = refused.value.errors
    assert str(error).startswith(key)
    assert "pageindex-stack:gateway was meant" in error.reason
    subprocess.run(error.mend, shell=True, cwd=tmp_path, check=True)  # noqa: S602 (our own line)
    assert plan_of_file(file).settings.gateway.api_port == 8123


def test_a_quoted_key_is_renamed_too_and_others_stay(tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.dev.yaml"
    gateway = ['  "pagindex-stack:gateway":', "    api_port: 8123"]
    lines = [*gateway, '  "pageindex-stack:model_cache":', "    keep_previous: true"]
    added = "".join(f"{line}\n" for line in lines)
    file.write_text(yaml.safe_dump({"config": DEV}) + added)
    with pytest.raises(BadStackFile) as refused:
        plan_of_file(file)
    for error in refused.value.errors:
        subprocess.run(error.mend, shell=True, cwd=tmp_path, check=True)  # noqa: S602 (our own line)
    assert '"pageindex-stack:gateway":' in file.read_text()
    assert plan_of_file(file).settings.gateway.api_port == 8123


def test_an_encrypted_value_is_renamed_without_being_shown(tmp_path: Path) -> None:
    file = written(tmp_path, {"pagindex-stack:hf_token": {"secure": "v1:abc:def"}})
    with pytest.raises(BadStackFile) as refused:
        plan_of_file(file)
    [error] = refused.value.errors
    assert "v1:abc" not in str(error)
    subprocess.run(error.mend, shell=True, cwd=tmp_path, check=True)  # noqa: S602 (our own line)
    config = yaml.safe_load(file.read_text())["config"]
    assert config["pageindex-stack:hf_token"] == {"secure": "v1:abc:def"}


@pytest.mark.parametrize("key", ["hf-token", "pageindex-stack:hf-token", "pageindex-stack:hftoken", "Hf_Token"])
def test_a_secret_under_a_mistyped_key_is_renamed_without_being_shown(tmp_path: Path, key: str) -> None:
    file = written(tmp_path, {key: {"secure": "v1:abc:def"}})
    with pytest.raises(BadStackFile) as refused:
        plan_of_file(file)
    [error] = refused.value.errors
    assert "did you mean hf_token?" in error.reason
    assert "v1:abc" not in str(error)
    subprocess.run(error.mend, shell=True, cwd=tmp_path, check=True)  # noqa: S602 (our own line)
    config = yaml.safe_load(file.read_text())["config"]
    assert config.get("pageindex-stack:hf_token", config.get("hf_token")) == {"secure": "v1:abc:def"}
    plan_of_file(file)


def test_no_line_sets_in_clear_what_is_encrypted(tmp_path: Path) -> None:
    hidden = {"extra_env": {"GREETING": {"secure": "v1:abc:def"}}}
    config = {key: value for key, value in DEV.items() if not key.endswith(":vllm")}
    file = tmp_path / "Pulumi.dev.yaml"
    vllm = {**DEV["pageindex-stack:vllm"], **hidden}
    file.write_text(yaml.safe_dump({"config": {**config, "pageindex-stack:vlm": vllm}}))
    with pytest.raises(BadStackFile) as refused:
        plan_of_file(file)
    [error] = [error for error in refused.value.errors if error.key == "vlm"]
    assert "stands-in" not in str(error)
    subprocess.run(error.mend, shell=True, cwd=tmp_path, check=True)  # noqa: S602 (our own line)
    assert yaml.safe_load(file.read_text())["config"]["pageindex-stack:vllm"] == vllm
    plan_of_file(file)


def test_a_key_without_a_namespace_is_ours_as_pulumi_reads_it(tmp_path: Path) -> None:
    assert plan_of_file(written(tmp_path, {"gateway": GATEWAY})).settings.gateway.api_port == 8123
    assert (
        plan_of_file(written(tmp_path, {"pageindex-stack:config:gateway": GATEWAY})).settings.gateway.api_port == 8123
    )


def test_a_word_that_older_yaml_takes_for_a_truth_value_is_a_word_as_for_pulumi(tmp_path: Path) -> None:
    vllm = {**DEV["pageindex-stack:vllm"], "restart": "RESTART"}
    file = written(tmp_path, {"pageindex-stack:vllm": vllm})
    file.write_text(file.read_text().replace("RESTART", "no"))
    assert plan_of_file(file).settings.vllm.restart == "no"


@pytest.mark.parametrize("empty", [None, "", {}])
def test_a_key_that_is_left_empty_has_its_default(tmp_path: Path, empty: Any) -> None:
    assert plan_of_file(written(tmp_path, {"pageindex-stack:gateway": empty})).settings.gateway.api_port == 8000


def test_a_key_on_one_line_with_its_value_is_renamed_too(tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.dev.yaml"
    ours = "pageindex-stack:model: smollm2-135m-instruct, pageindex-stack:vllm: {image: vllm-cpu, device: cpu}"
    file.write_text(f"config: {{{ours}, pagindex-stack:gateway: {{api_port: 8123}}}}\n")
    with pytest.raises(BadStackFile) as refused:
        plan_of_file(file)
    subprocess.run(refused.value.errors[0].mend, shell=True, cwd=tmp_path, check=True)  # noqa: S602 (our own line)
    assert plan_of_file(file).settings.gateway.api_port == 8123


def test_of_two_mistyped_forms_of_one_key_one_is_renamed_and_the_other_goes(tmp_path: Path) -> None:
    file = written(tmp_path, {"pagindex-stack:gateway": GATEWAY, "pageindex_stack:gateway": {"api_port": 8124}})
    with pytest.raises(BadStackFile) as refused:
        plan_of_file(file)
    renamed, removed = refused.value.errors
    assert renamed.mend.startswith("sed ")
    assert removed.mend == "pulumi config rm -s dev pageindex_stack:gateway"


def test_a_mistyped_setting_of_a_provider_names_ours_too(tmp_path: Path) -> None:
    [warning] = [
        text for text in plan_of_file(written(tmp_path, {"docker:hosst": "x"})).warnings if "no effect" in text
    ]
    assert "pageindex-stack:host.docker says it here" in warning


def test_where_the_right_key_is_there_too_the_wrong_one_goes(tmp_path: Path) -> None:
    file = written(tmp_path, {"pagindex-stack:vllm": {"replicas": 2}})
    with pytest.raises(BadStackFile) as refused:
        plan_of_file(file)
    [error] = refused.value.errors
    assert error.mend == "pulumi config rm -s dev pagindex-stack:vllm"
    assert "which the file has, too" in error.reason


def test_a_providers_own_setting_is_a_warning_that_names_ours(tmp_path: Path) -> None:
    file = written(tmp_path, {"docker:host": "ssh://gpu@10.0.0.5", "command:x": "y"})
    warnings = "\n".join(plan_of_file(file).warnings)
    assert "docker:host has no effect" in warnings
    assert "pageindex-stack:host.docker says it here" in warnings
    assert "pulumi config rm -s dev command:x" in warnings


def test_a_key_of_something_else_is_a_warning_and_pulumis_own_is_none(tmp_path: Path) -> None:
    file = written(tmp_path, {"aws:region": "eu-west-1", "pulumi:tags": {"team": "docs"}})
    warnings = [text for text in plan_of_file(file).warnings if "no effect" in text]
    assert len(warnings) == 1
    assert "namespace aws" in warnings[0]


def test_our_own_stack_files_have_no_such_key() -> None:
    for path in ROOT.glob("Pulumi.*.yaml"):
        assert plan_of_file(path).unread_keys == (), path
