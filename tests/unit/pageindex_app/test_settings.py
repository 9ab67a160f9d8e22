"""Settings come from the environment and are refused by name."""

from pathlib import Path

import pytest
from pageindex_app.settings import Settings
from pydantic import ValidationError


def test_every_setting_is_documented_in_the_readme() -> None:
    readme = (Path(__file__).resolve().parents[3] / "services/pageindex_app/README.md").read_text()
    for name, field in Settings.model_fields.items():
        assert f"`{name.upper()}`" in readme, name
        assert field.description


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("VLLM_BASE_URL", "vllm-0:8000"),
        ("ANSWER_MODE", "three-step"),
        ("MAX_UPLOAD_MIB", "-1"),
        ("MAX_PAGES", "many"),
        ("CONTEXT_TOKENS", "12"),
        ("PORT", "70000"),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError) as refused:
        Settings()
    assert [str(error["loc"][0]).upper() for error in refused.value.errors()] == [name]


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
