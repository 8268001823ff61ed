from __future__ import annotations

from pathlib import Path

import pytest

from audio_service.settings import AudioSettings
from common.settings import load
from common.settings_errors import SettingsError


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    directory = tmp_path / "secrets"
    directory.mkdir()
    (directory / "mongo_password").write_text("from-a-file\n")
    return directory


def password(settings: AudioSettings) -> str:
    return settings.mongo_password.get_secret_value()


def test_a_secret_may_be_a_file_of_its_keys_name(secrets: Path) -> None:
    assert password(load(AudioSettings, secrets=secrets)) == "from-a-file"


def test_env_files_win_over_secret_files_and_the_environment_over_both(
    secrets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text("MONGO_PASSWORD=from-dotenv\n")
    assert password(load(AudioSettings, env_file, secrets=secrets)) == "from-dotenv"
    monkeypatch.setenv("MONGO_PASSWORD", "from-the-environment")
    assert password(load(AudioSettings, env_file, secrets=secrets)) == "from-the-environment"


def test_other_files_there_and_no_directory_at_all_are_no_matter(secrets: Path, tmp_path: Path) -> None:
    (secrets / "kubernetes.io").mkdir()
    (secrets / "discord_token").write_text("not ours")
    assert load(AudioSettings, secrets=secrets).mongo_user == ""
    assert password(load(AudioSettings, secrets=tmp_path / "missing")) == ""


def test_a_wrong_value_in_a_secret_file_is_named_and_not_quoted(secrets: Path) -> None:
    (secrets / "http_port").write_text("planted-secret")
    with pytest.raises(SettingsError, match="HTTP_PORT") as caught:
        load(AudioSettings, secrets=secrets)
    assert "planted-secret" not in str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "latin-1"])
def test_an_env_file_in_another_encoding_is_one_line(tmp_path: Path, encoding: str) -> None:
    env_file = tmp_path / ".env"
    env_file.write_bytes("ENVIRONMENT=mañana\n".encode(encoding))
    with pytest.raises(SettingsError, match=r"\.env: is not UTF-8") as caught:
        load(AudioSettings, env_file)
    assert "\n" not in caught.value.text.es


def test_an_env_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    env_file.write_bytes("ENVIRONMENT=mañana\n".encode("utf-8-sig"))
    assert load(AudioSettings, env_file).environment == "mañana"
