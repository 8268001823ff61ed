from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from audio_service.access.key_file import KeyFile, KeysUnusable, change_keys, read_keys
from audio_service.access.keys import ApiKey, KeyList, new_key


def key(name: str = "bot") -> ApiKey:
    return new_key(name, ["media:read"], now=datetime.now(UTC), expires_at=None).kept


def write(path: Path, *keys: ApiKey) -> None:
    change_keys(path, lambda _: KeyList(keys=keys))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys" / "api-keys.json"


def test_a_key_that_is_added_is_found_and_one_that_is_taken_away_is_not(path: Path) -> None:
    file, one, other = KeyFile(path), key(), key()
    assert file.find(one.id) is None
    write(path, one)
    assert file.find(one.id) == one
    write(path, one, other)
    assert file.find(other.id) == other
    write(path, other)
    assert file.find(one.id) is None


def test_a_file_that_is_gone_lets_nobody_in(path: Path) -> None:
    file, one = KeyFile(path), key()
    write(path, one)
    assert file.find(one.id)
    path.unlink()
    assert file.find(one.id) is None


def test_a_file_that_is_swapped_by_a_link_is_read_again(path: Path) -> None:
    """As Kubernetes updates a mounted Secret."""
    one, other = key(), key()
    first, second = path.parent / "..1" / path.name, path.parent / "..2" / path.name
    write(first, one)
    write(second, other)
    path.symlink_to(first)
    file = KeyFile(path)
    assert file.find(one.id)
    link = path.with_name("..new")
    link.symlink_to(second)
    link.replace(path)
    assert file.find(one.id) is None
    assert file.find(other.id)


BROKEN = [b"{", b"[]", b'{"keys": [{"id": "planted-secret"}]}', b'{"keys": 1}', b"\xff\xfe", b"", b"x" * 2_000_000]


@pytest.mark.parametrize("content", BROKEN, ids=range(len(BROKEN)))
def test_a_broken_file_lets_nobody_in_and_is_told_once_and_never_quoted(path: Path, content: bytes) -> None:
    file, one = KeyFile(path), key()
    write(path, one)
    assert file.find(one.id)
    path.write_bytes(content)
    with capture_logs() as logs:
        assert file.find(one.id) is None
        assert file.find(one.id) is None
    assert [line["event"] for line in logs] == ["access.keys_unusable"]
    assert "planted-secret" not in str(logs)
    with pytest.raises(KeysUnusable, match="API_KEYS_FILE"):
        file.check()
    write_over = path.with_name("good.json")
    write(write_over, one)
    write_over.replace(path)
    assert file.find(one.id)


def test_a_broken_file_is_not_overwritten(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("somebody's notes")
    with pytest.raises(KeysUnusable):
        change_keys(path, lambda _: KeyList())
    assert path.read_text() == "somebody's notes"


def test_a_file_without_keys_is_told_at_start(path: Path) -> None:
    with capture_logs() as logs:
        KeyFile(path).check()
    assert [line["event"] for line in logs] == ["access.no_keys"]


def test_a_new_file_is_its_owners_alone_and_a_given_mode_stays(path: Path) -> None:
    write(path, key())
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o640)
    write(path, key())
    assert path.stat().st_mode & 0o777 == 0o640
    assert sorted(os.listdir(path.parent)) == [f".{path.name}.lock", path.name]  # noqa: PTH208 - names alone


async def test_of_several_writers_none_is_lost(path: Path) -> None:
    keys = [key(f"k{number}") for number in range(20)]

    def add(one: ApiKey) -> None:
        change_keys(path, lambda kept: KeyList(keys=(*kept.keys, one)))

    await asyncio.gather(*(asyncio.to_thread(add, one) for one in keys))
    assert {one.id for one in read_keys(path).keys} == {one.id for one in keys}
