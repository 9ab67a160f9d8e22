"""Settings come from the environment and are refused by name."""

import ast
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pageindex_app
import pytest
from pageindex_app.base.settings import CALLS_A_QUESTION, Settings
from pydantic import ValidationError

from planning.settings.areas import PageIndexSettings

ROOT = Path(__file__).resolve().parents[3]
MODEL = "http://model:8000/v1"


@pytest.fixture(autouse=True)
def _with_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_BASE_URL", MODEL)


def test_every_setting_is_documented_in_the_readme() -> None:
    readme = (ROOT / "services/pageindex_app/README.md").read_text()
    for name, field in Settings.model_fields.items():
        assert f"`{name.upper()}`" in readme, name
        assert field.description


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("VLLM_BASE_URL", "vllm-0:8000"),
        ("VLLM_BASE_URL", ""),
        ("ANSWER_MODE", "three-step"),
        ("MAX_UPLOAD_MIB", "-1"),
        ("MAX_UPLOAD_MIB", "4097"),
        ("MAX_PAGES", "many"),
        ("CONTEXT_TOKENS", "12"),
        ("MODEL_TIMEOUT_S", "4"),
        ("PORT", "70000"),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError) as refused:
        Settings()
    assert [str(error["loc"][0]).upper() for error in refused.value.errors()] == [name]


def test_a_service_without_the_model_s_address_says_so_and_does_not_start() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "VLLM_BASE_URL"}
    environment["PYTHONPATH"] = str(ROOT / "services/pageindex_app")
    ran = subprocess.run(
        [sys.executable, "-m", "pageindex_app"], env=environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 2
    assert ran.stderr == "VLLM_BASE_URL: Field required (it is not set)\n"


def test_a_larger_window_lets_the_model_read_more() -> None:
    room = [Settings(context_tokens=tokens).context_chars for tokens in (2048, 16384, 65536, 131072)]
    assert room == sorted(room)
    assert len(set(room)) == 4
    assert room[0] < 2048  # characters: far less than the window of the smallest model


def test_the_key_is_read_anew_and_its_absence_is_no_error(tmp_path: Path) -> None:
    settings = Settings(vllm_api_key_file=tmp_path / "key")
    assert settings.api_key() == "none"
    (tmp_path / "key").write_text("first\n")
    assert settings.api_key() == "first"
    (tmp_path / "key").write_text("second\n")
    assert settings.api_key() == "second"


def test_the_app_and_the_stack_file_have_the_same_defaults_and_bounds() -> None:
    planned = PageIndexSettings.model_fields
    both = ("max_upload_mib", "max_pages", "model_timeout_s")
    for name in both:
        ours, theirs = Settings.model_fields[name], planned[name]
        assert (ours.default, ours.metadata) == (theirs.default, theirs.metadata), name


def test_the_app_and_the_plan_agree_on_the_calls_that_a_question_makes() -> None:
    assert {value for path in (ROOT / "planning").rglob("*.py") for value in _assigned(path, "CALLS_A_QUESTION")} == {
        CALLS_A_QUESTION
    }


def _assigned(path: Path, name: str) -> Iterator[object]:
    """Values that a module gives to a name, without running the module."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == [name]:
            yield ast.literal_eval(node.value)


def test_the_app_has_the_version_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert pageindex_app.__version__ == project["version"]
