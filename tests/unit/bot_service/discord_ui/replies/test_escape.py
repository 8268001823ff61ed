"""Titles and typed words can neither mention nor format, wherever they are shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot_service.discord_ui.replies.escape import label, plain


@pytest.mark.parametrize(
    ("given_text", "shown"),
    [
        ("@everyone", "@\u200beveryone"),
        ("<@123456789012345678> <#1> <t:1:R>", "\\<@\u200b123456789012345678> \\<#1> \\<t:1:R>"),
        ("**loud** _low_ `code` ||spoiler||", r"\*\*loud\*\* \_low\_ \`code\` \|\|spoiler\|\|"),
        ("# not a heading\n> nor a quote", r"\# not a heading > nor a quote"),
        ("[click](https://example.org)", r"\[click](https://example.org)"),
        ("a\u202eb\u200bc\x00d", "a b c d"),
    ],
)
def test_text_from_outside_is_shown_as_text(given_text: str, shown: str) -> None:
    assert plain(given_text) == shown


def test_long_text_is_cut_with_an_ellipsis() -> None:
    assert plain("x" * 300, 50) == "x" * 49 + "…"
    assert label("x" * 300) == "x" * 99 + "…"
    assert label("") == "—"


@given(st.text())
def test_a_label_is_one_short_line_that_is_never_empty(text: str) -> None:
    shown = label(text)
    assert 1 <= len(shown) <= 100
    assert len(shown.splitlines()) == 1
