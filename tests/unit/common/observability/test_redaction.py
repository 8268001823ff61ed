from __future__ import annotations

import io
import logging
from collections.abc import Generator

import pytest

from common.observability.redaction import HIDDEN, redact, redact_all
from common.observability.telemetry import configure_logging, get_logger

KEY = "bk_0123abcd_" + "S" * 43
TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJwbGFudGVkIn0.c2lnbmF0dXJl"  # noqa: S105 - made up


@pytest.fixture(autouse=True)
def keep_pytests_handlers() -> Generator[None]:
    before = logging.getLogger().handlers[:]
    yield
    logging.getLogger().handlers[:] = before


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"key {KEY} refused", f"key bk_0123abcd_{HIDDEN} refused"),
        (f"token {TOKEN}.", f"token {HIDDEN}."),
        ("Authorization: Bearer abcdefgh12345678", f"Authorization: Bearer {HIDDEN}"),
        ("{'authorization': 'Bot MTIzNDU2Nzg5.abcdef.ghijklmnop'}", f"{{'authorization': 'Bot {HIDDEN}'}}"),
        ("mongodb://audio:planted@mongo:27017/x", f"mongodb://audio:{HIDDEN}@mongo:27017/x"),
        ("GET /youtube/v3/search?key=AIzaPlanted&q=a", f"GET /youtube/v3/search?key={HIDDEN}&q=a"),
    ],
)
def test_what_looks_like_a_secret_is_taken_out(text: str, shown: str) -> None:
    assert redact(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1:8080/api/v1/media/?video_id=k2qgadSvNyU",
        "the bot is ready",
        "Bot 7",
        "Bot disconnected from voice",
        "bot reconnected-after-a-long-while",
        "key 0123abcd: expired",
        "https://user@example.com/keys?monkey=1",
        "bk_",
        "",
    ],
)
def test_other_text_stays_as_it_is(text: str) -> None:
    assert redact(text) == text


def test_what_is_nested_is_found() -> None:
    value = {"headers": [("authorization", f"Bearer {KEY}")], "error": ValueError(KEY), "raw": KEY.encode(), "n": 3}
    assert "SSSS" not in repr(redact_all(value))
    assert "0123abcd" in repr(redact_all(value))


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_no_line_of_the_log_holds_one(log_format: str) -> None:
    written = io.StringIO()
    configure_logging("info", log_format, written)
    log = get_logger("test")
    log.info("event", token=TOKEN, headers={"x-api-key": KEY})
    logging.getLogger("library").warning("GET %s", f"https://a:hidden-one@host/?key={KEY}")
    held = "planted-in-a-variable"

    def broken(argument: str) -> None:
        raise ZeroDivisionError(f"{KEY} of {len(argument)}")

    try:
        broken(held)
    except ZeroDivisionError:
        log.exception("broken")
    shown = written.getvalue()
    assert "ZeroDivisionError" in shown
    assert HIDDEN in shown
    for secret in ("SSSS", TOKEN, "hidden-one", held):
        assert secret not in shown


def test_a_presigned_address_loses_its_signature() -> None:
    signed = (
        "https://songs.s3.amazonaws.com/a.m4a?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIA%2F20260101"
        "&X-Amz-Date=20260101T000000Z&X-Amz-Expires=900&X-Amz-Security-Token=IQoJ&X-Amz-Signature=abc123"
    )
    hidden = redact(f"Unsupported URL: {signed}")
    assert "X-Amz-Date=20260101T000000Z" in hidden
    assert not [secret for secret in ("AKIA", "IQoJ", "abc123") if secret in hidden]
