"""`.env.example` and the Settings classes name the same keys, with the same defaults."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from audio_service.settings import AudioSettings
from bot_service.settings import BotSettings
from common.settings import load
from common.settings_errors import SettingsError

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / ".env.example"
SETTINGS = ROOT / "docs" / "settings.md"
KEY = re.compile(r"^#?([A-Z][A-Z0-9_]+)=(.*)$", re.MULTILINE)


def documented() -> dict[str, str]:
    return dict(KEY.findall(EXAMPLE.read_text()))


def test_every_setting_is_documented_and_every_documented_key_is_a_setting() -> None:
    assert set(documented()) == {
        name.upper() for settings in (AudioSettings, BotSettings) for name in settings.model_fields
    }


def test_the_settings_page_lists_every_key_with_its_default() -> None:
    listed = re.findall(r"^\| `([A-Z0-9_]+)` \| (?:`(.*?)`)? \|", SETTINGS.read_text(), re.MULTILINE)
    assert dict(listed) == documented()


def test_the_documented_values_are_the_defaults(tmp_path: Path) -> None:
    copy = tmp_path / ".env"
    copy.write_text(EXAMPLE.read_text())
    assert load(AudioSettings, copy) == load(AudioSettings)


def test_the_documented_values_of_the_bot_are_the_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISCORD_TOKEN", "a-token")
    copy = tmp_path / ".env"
    copy.write_text(EXAMPLE.read_text())
    assert load(BotSettings, copy) == load(BotSettings)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("NUM_WORKERS", "many", "valid integer"),
        ("HTTP_PORT", "70000", "less than or equal to 65535"),
        ("DATABASE_BACKEND", "oracle", "'sqlite'"),
        ("SERVICE_TIMEOUT", "-1", "greater than 0"),
        ("NETWORK_ALLOW", "999.1.1.1/99", "NETWORK_ALLOW"),
    ],
)
def test_a_wrong_value_is_one_line_with_the_key_and_what_is_expected(
    monkeypatch: pytest.MonkeyPatch, key: str, value: str, expected: str
) -> None:
    monkeypatch.setenv(key, value)
    with pytest.raises(SettingsError) as caught:
        load(AudioSettings)
    assert str(caught.value).startswith(f"{key}: ")
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_wrong_value_is_never_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PORT", "planted-secret")
    with pytest.raises(SettingsError) as caught:
        load(AudioSettings)
    assert "planted-secret" not in str(caught.value)
