"""The bot's settings: names of commands, the token, servers and addresses."""

from __future__ import annotations

import pytest

from bot_service.settings import BotSettings
from common.settings import load
from common.settings_errors import SettingsError


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISCORD_TOKEN", "planted-secret")


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("music", "music"),
        ("!music", "music"),
        ("/música", "música"),
        (" !dj-2_b ", "dj-2_b"),
        ("音楽", "音楽"),
        ("x" * 32, "x" * 32),
    ],
)
def test_a_prefix_becomes_the_name_of_a_slash_command(monkeypatch: pytest.MonkeyPatch, given: str, name: str) -> None:
    monkeypatch.setenv("COMMAND_PREFIX", given)
    assert load(BotSettings).command_prefix == name


@pytest.mark.parametrize("given", ["!", "/", "!!music", "my music", "x" * 33, "m?", "it's", "Music", "😀"])
def test_a_name_that_discord_refuses_is_refused_at_start(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("COMMAND_PREFIX", given)
    with pytest.raises(SettingsError, match=r"^COMMAND_PREFIX: [a-z].*name of a slash command"):
        load(BotSettings)


@pytest.mark.parametrize("given", [None, "", "  ", "two words"])
def test_without_a_usable_token_the_line_says_where_one_is_found(
    monkeypatch: pytest.MonkeyPatch, given: str | None
) -> None:
    if given is None:
        monkeypatch.delenv("DISCORD_TOKEN")
    else:
        monkeypatch.setenv("DISCORD_TOKEN", given)
    with pytest.raises(SettingsError, match=r"^DISCORD_TOKEN: .*page Bot") as caught:
        load(BotSettings)
    assert "\n" not in str(caught.value)


def test_the_token_shows_in_no_description_of_the_settings() -> None:
    settings = load(BotSettings)
    assert settings.discord_token.get_secret_value() == "planted-secret"
    assert "planted-secret" not in repr(settings)


def test_servers_to_update_at_once_are_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(BotSettings).guild_ids == []
    monkeypatch.setenv("DISCORD_GUILDS", "12, 345,")
    assert load(BotSettings).guild_ids == [12, 345]
    monkeypatch.setenv("DISCORD_GUILDS", "12;345")
    with pytest.raises(SettingsError, match="DISCORD_GUILDS"):
        load(BotSettings)


@pytest.mark.parametrize("key", ["DISCORD_PROXY", "AUDIO_PROCESSOR_URL"])
def test_addresses_are_http(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv(key, "ftp://somewhere")
    with pytest.raises(SettingsError, match=f"^{key}: .*http"):
        load(BotSettings)
