"""The commands on a file, and what they print."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from audio_service.access.key_file import read_keys
from audio_service.access.keys import matches
from butakero import keys
from tests.unit.butakero.conftest import CapturedShell


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "api-keys.json"


def create(captured: CapturedShell, file: Path, name: str = "bot", days: int = 365) -> str:
    before = len(captured.out())
    assert keys.run_create(captured.shell, file, name, ["media:read"], days) == 0
    return captured.out()[before:].strip()


def test_a_key_is_printed_alone_once_and_kept_as_a_hash(captured: CapturedShell, file: Path) -> None:
    text = create(captured, file)
    (kept,) = read_keys(file).keys
    assert captured.out() == f"{text}\n"
    assert matches(text, kept)
    assert text.rpartition("_")[2] not in file.read_text()
    assert text.rpartition("_")[2] not in captured.err()
    assert kept.id in captured.err()
    assert kept.expires_at is not None
    assert (kept.expires_at - kept.created_at).days == 365


def test_zero_days_never_expire(captured: CapturedShell, file: Path) -> None:
    create(captured, file, days=0)
    assert read_keys(file).keys[0].expires_at is None


def test_the_list_has_names_and_states_and_no_secret(captured: CapturedShell, file: Path) -> None:
    texts = [create(captured, file, name) for name in ("one", "two\x1b[31m")]
    assert keys.run_revoke(captured.shell, file, read_keys(file).keys[0].id) == 0
    before = len(captured.out())
    assert keys.run_list(captured.shell, file) == 0
    rows = [line.split("\t") for line in captured.out()[before:].splitlines()]
    assert [row[-1] for row in rows] == ["Status", "revoked", "valid"]
    assert rows[1][1] == "one"
    assert "\x1b" not in captured.out()
    for text in texts:
        # A secret may hold "_" itself: the parts before it are the prefix and the id.
        assert text.split("_", 2)[2] not in captured.out()[before:]
    for kept in read_keys(file).keys:
        assert kept.sha256 not in captured.out()


def test_revoking_twice_changes_nothing(captured: CapturedShell, file: Path) -> None:
    create(captured, file)
    (kept,) = read_keys(file).keys
    assert keys.run_revoke(captured.shell, file, kept.id) == 0
    revoked = read_keys(file)
    assert revoked.keys[0].revoked_at is not None
    assert keys.run_revoke(captured.shell, file, kept.id) == 0
    assert read_keys(file) == revoked


def test_an_unknown_id_is_an_error(captured: CapturedShell, file: Path) -> None:
    create(captured, file)
    assert keys.run_revoke(captured.shell, file, "00000000") == keys.EXIT_ERROR
    assert "00000000" in captured.err()


def test_without_a_file_nothing_is_done(captured: CapturedShell) -> None:
    for code in (
        keys.run_create(captured.shell, None, "bot", ["media:read"], 1),
        keys.run_list(captured.shell, None),
        keys.run_revoke(captured.shell, None, "00000000"),
    ):
        assert code == keys.EXIT_USAGE
    assert "API_KEYS_FILE" in captured.err()
    assert not captured.out()


def test_an_empty_file_is_not_an_error(captured: CapturedShell, file: Path) -> None:
    assert keys.run_list(captured.shell, file) == 0
    assert "no keys" in captured.out()


def test_the_number_of_keys_is_limited(captured: CapturedShell, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    create(captured, file)
    monkeypatch.setattr(keys, "MAX_KEYS", 1)
    assert keys.run_create(captured.shell, file, "bot", ["media:read"], 1) == keys.EXIT_ERROR
    assert len(json.loads(file.read_text())["keys"]) == 1
