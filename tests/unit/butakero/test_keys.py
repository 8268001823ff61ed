"""The commands on a file, and what they print."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from audio_service.access.key_file import read_keys
from audio_service.access.keys import matches
from butakero import keys
from tests.unit.butakero.conftest import Heard


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "api-keys.json"


def create(heard: Heard, file: Path, name: str = "bot", days: int = 365) -> str:
    before = len(heard.out())
    assert keys.run_create(heard.shell, file, name, ["media:read"], days) == 0
    return heard.out()[before:].strip()


def test_a_key_is_printed_alone_once_and_kept_as_a_hash(heard: Heard, file: Path) -> None:
    text = create(heard, file)
    (kept,) = read_keys(file).keys
    assert heard.out() == f"{text}\n"
    assert matches(text, kept)
    assert text.rpartition("_")[2] not in file.read_text()
    assert text.rpartition("_")[2] not in heard.err()
    assert kept.id in heard.err()
    assert kept.expires_at is not None
    assert (kept.expires_at - kept.created_at).days == 365


def test_zero_days_are_for_ever(heard: Heard, file: Path) -> None:
    create(heard, file, days=0)
    assert read_keys(file).keys[0].expires_at is None


def test_the_list_says_whose_and_how_they_are_and_nothing_that_lets_in(heard: Heard, file: Path) -> None:
    texts = [create(heard, file, name) for name in ("one", "two\x1b[31m")]
    assert keys.run_revoke(heard.shell, file, read_keys(file).keys[0].id) == 0
    before = len(heard.out())
    assert keys.run_list(heard.shell, file) == 0
    rows = [line.split("\t") for line in heard.out()[before:].splitlines()]
    assert [row[-1] for row in rows] == ["Status", "revoked", "valid"]
    assert rows[1][1] == "one"
    assert "\x1b" not in heard.out()
    for text in texts:
        assert text.rpartition("_")[2] not in heard.out()[before:]
    for kept in read_keys(file).keys:
        assert kept.sha256 not in heard.out()


def test_revoking_twice_changes_nothing(heard: Heard, file: Path) -> None:
    create(heard, file)
    (kept,) = read_keys(file).keys
    assert keys.run_revoke(heard.shell, file, kept.id) == 0
    revoked = read_keys(file)
    assert revoked.keys[0].revoked_at is not None
    assert keys.run_revoke(heard.shell, file, kept.id) == 0
    assert read_keys(file) == revoked


def test_an_unknown_id_is_said(heard: Heard, file: Path) -> None:
    create(heard, file)
    assert keys.run_revoke(heard.shell, file, "00000000") == keys.EXIT_ERROR
    assert "00000000" in heard.err()


def test_without_a_file_nothing_is_done(heard: Heard) -> None:
    for code in (
        keys.run_create(heard.shell, None, "bot", ["media:read"], 1),
        keys.run_list(heard.shell, None),
        keys.run_revoke(heard.shell, None, "00000000"),
    ):
        assert code == keys.EXIT_USAGE
    assert "API_KEYS_FILE" in heard.err()
    assert not heard.out()


def test_no_keys_is_no_mistake(heard: Heard, file: Path) -> None:
    assert keys.run_list(heard.shell, file) == 0
    assert "no keys" in heard.out()


def test_a_file_does_not_grow_without_end(heard: Heard, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    create(heard, file)
    monkeypatch.setattr(keys, "MAX_KEYS", 1)
    assert keys.run_create(heard.shell, file, "bot", ["media:read"], 1) == keys.EXIT_ERROR
    assert len(json.loads(file.read_text())["keys"]) == 1
