from __future__ import annotations

import ast
import hashlib
import inspect
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from audio_service.access.keys import MAX_KEYS, ApiKey, KeyList, NewKey, key_id_of, matches, new_key
from audio_service.access.scopes import SCOPES, known_scopes

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def made(**changes: object) -> NewKey:
    text, kept = new_key("bot", ["media:read"], now=NOW, expires_at=NOW + timedelta(days=1))
    return NewKey(text, kept.model_copy(update=changes))


def test_only_the_hash_is_kept() -> None:
    text, kept = made()
    secret = text.removeprefix(f"bk_{kept.id}_")
    assert secret not in kept.model_dump_json()
    assert kept.sha256 == hashlib.sha256(text.encode()).hexdigest()
    assert len(secret) == 43  # 32 bytes in base64url


def test_two_keys_have_nothing_in_common() -> None:
    assert len({made().text for _ in range(100)}) == 100
    assert len({made().kept.id for _ in range(100)}) == 100


def test_a_key_matches_itself_and_nothing_else() -> None:
    one, other = made(), made()
    assert matches(one.text, one.kept)
    assert not matches(one.text, other.kept)
    assert not matches(one.text[:-1], one.kept)
    assert not matches(one.text + "A", one.kept)
    assert not matches(one.kept.sha256, one.kept)
    assert not matches("ñ\udc80".encode("utf-8", "replace").decode(), one.kept)


@pytest.mark.parametrize("text", ["", "bk_", "x"])
def test_nothing_matches_a_key_that_is_not_there(text: str) -> None:
    assert not matches(text, None)


def test_the_comparison_is_the_one_whose_time_tells_nothing() -> None:
    """Digests of equal length, by hmac.compare_digest, for ids that exist and for those that do not."""
    tree = ast.parse(inspect.getsource(matches))
    called = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    assert "hmac.compare_digest" in called
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Eq)]
    (comparison,) = [node for node in ast.walk(tree) if isinstance(node, ast.BoolOp)]
    # It is made before it is asked whether there is such a key.
    assert ast.unparse(comparison.values[0]).startswith("hmac.compare_digest(")


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({}, ""),
        ({"expires_at": None}, ""),
        ({"expires_at": NOW}, "expired"),
        ({"expires_at": NOW - timedelta(seconds=1)}, "expired"),
        ({"revoked_at": NOW}, "revoked"),
        ({"revoked_at": NOW, "expires_at": NOW}, "revoked"),
    ],
)
def test_a_key_is_good_until_it_expires_or_is_revoked(changes: dict[str, object], refusal: str) -> None:
    assert made(**changes).kept.refusal(NOW) == refusal


@pytest.mark.parametrize(
    "text", ["", "bk_", "bk_0123456g_" + "A" * 43, "BK_01234567_" + "A" * 43, "eyJhbGciOi", "bk_" * 99]
)
def test_what_is_not_of_a_keys_form_names_none(text: str) -> None:
    assert key_id_of(text) == ""


def test_the_id_is_read_from_the_key() -> None:
    text, kept = made()
    assert key_id_of(text) == kept.id


@pytest.mark.parametrize(
    "change", [{"name": ""}, {"name": "x" * 61}, {"scopes": ()}, {"scopes": ["root"]}, {"id": "../x"}]
)
def test_a_key_of_another_form_is_not_kept(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ApiKey.model_validate({**made().kept.model_dump(), **change})


def test_a_list_is_not_endless() -> None:
    one = made().kept
    with pytest.raises(ValidationError):
        KeyList(keys=(one,) * (MAX_KEYS + 1))


@pytest.mark.parametrize(
    ("words", "known"),
    [
        ("media:read", {"media:read"}),
        ("openid  media:read admin sources:read", {"media:read", "sources:read"}),
        (["media:read", 1, None], {"media:read"}),
        ("media:reader xmedia:read MEDIA:READ", set[str]()),
        (None, set[str]()),
        (7, set[str]()),
        ({"media:read": True}, set[str]()),
    ],
)
def test_only_our_own_scopes_count(words: object, known: set[str]) -> None:
    assert known_scopes(words) == known <= set(SCOPES)
