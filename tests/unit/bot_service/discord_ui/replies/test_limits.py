"""Whatever songs are called, Discord takes what is sent: embeds and menus against the fake's rules of a message."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import discord
import pytest
from discord.ui import View
from hypothesis import given
from hypothesis import strategies as st

from bot_service.discord_ui.replies import embeds
from bot_service.discord_ui.replies.answer import Reply
from bot_service.discord_ui.replies.limits import bounded, choices_within, cut, lines_within, size, web_url
from bot_service.discord_ui.views import search_view
from bot_service.player.rules.model import LoopMode, Phase
from bot_service.player.snapshot import Snapshot
from bot_service.requests.tracks import Suggestion
from bot_service.store.base import GuildSettings, Played, Track
from tests.discord.core import Json
from tests.discord.limits import check_choices, check_message
from tests.unit.bot_service.player.entries import entry, track

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SNOWFLAKE = 1_234_567_890_123_456_789

AWKWARD = st.one_of(
    st.text(alphabet="*_~`|<>[]()#\\@", min_size=1, max_size=300),
    st.text(alphabet="🎵👩‍👩‍👧‍👦🏳️‍🌈", min_size=1, max_size=300),
    st.text(alphabet="שלום עולם مرحبا\u202e\u2067", min_size=1, max_size=300),
    st.sampled_from(["@everyone", "@here " * 40, "<@1>" * 75, "", " ", "x" * 300]),
    st.text(max_size=300),
)
URLS = st.one_of(
    st.sampled_from(
        [
            "",
            "https://i.ytimg.com/vi/a b/default.jpg",
            "http://",
            "https://x y/z",
            "ftp://example.org/",
            "https://ñandú.ar/ó",
        ]
    ),
    st.text(max_size=60).map(lambda rest: f"https://example.org/{rest}"),
    st.text(max_size=60),
    st.just("https://example.org/" + "ñ" * 2000),
)


def taken(reply: Reply) -> Json:
    """Return the message, which Discord takes."""
    body: Json = {"content": reply.parts()["content"]}
    if reply.embed is not None:
        body["embeds"] = [reply.embed.to_dict()]
    if reply.view is not None:
        body["components"] = reply.view.to_components()
    check_message(body, new=True)
    return body


def song(title: str, url: str = "", number: int = 0) -> Track:
    return replace(track(f"id{number}"), title=title, url=url, thumbnail_url=url, platform=title)


def played(titles: list[str]) -> list[Played]:
    return [Played(song(title), SNOWFLAKE, NOW) for title in titles]


def described(embed: discord.Embed) -> str:
    taken(Reply(embed=embed))
    return embed.description or ""


def test_a_history_of_twenty_markdown_titles_is_shown_with_all_its_lines() -> None:
    text = described(embeds.history_embed(played(["*" * 100] * 20), "es"))
    assert len(text.splitlines()) == 20
    assert "`20.`" in text


def test_titles_are_shortened_no_more_than_needed() -> None:
    text = described(embeds.history_embed(played(["x" * 100] * 20), "es"))
    assert text.count("x") == 2000


def test_an_escape_or_an_emoji_is_never_cut_apart() -> None:
    assert cut(r"\*\*\*", 4) == r"\*…"
    assert cut("🎵🎵🎵", 4) == "🎵…"
    assert size(cut("🎵" * 100, 51)) <= 51
    assert cut("🎵", 2) == "🎵"


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("https://i.ytimg.com/vi/a b/default.jpg", "https://i.ytimg.com/vi/a%20b/default.jpg"),
        ("https://ñandú.ar/canción", "https://xn--and-6ma2c.ar/canci%C3%B3n"),
        ("HTTPS://Example.org/x", "https://example.org/x"),
        ("https://x y/z", None),
        ("https://localhost/x", None),
        ("https://a..b/", None),
        ("javascript:alert(1)", None),
        ("https://user:secret@example.org/", None),
        ("https://example.org/" + "x" * 2048, None),
    ],
)
def test_only_urls_that_discord_takes_are_sent(url: str, sent: str | None) -> None:
    assert web_url(url) == sent


@given(st.lists(AWKWARD, min_size=1, max_size=30), URLS)
def test_lists_of_songs_of_any_name_are_taken(titles: list[str], url: str) -> None:
    tracks = [song(title, url, number) for number, title in enumerate(titles)]
    queued = [
        replace(entry(f"e{number}", requester=SNOWFLAKE), track=one, song=one.title)
        for number, one in enumerate(tracks)
    ]
    snapshot = Snapshot(
        guild_id=1,
        phase=Phase.PLAYING,
        current=queued[0],
        position_ms=0,
        entries=tuple(queued),
        loop=LoopMode.QUEUE,
        voice_channel_id=1,
        text_channel_id=1,
        history=(),
        rules=GuildSettings(),
    )
    shown = [
        embeds.history_embed(played(titles[:20]), "es"),
        embeds.favourites_embed(tracks, "m" * 32, "es"),
        embeds.queue_embed(snapshot, 1, "m" * 32, "es"),
        embeds.player_embed(snapshot, "es"),
        embeds.status_embed(titles[0], [(title, title) for title in titles]),
    ]
    for embed in shown:
        taken(Reply(embed=embed))


@given(st.lists(st.tuples(AWKWARD, URLS), min_size=1, max_size=30))
def test_search_results_of_any_name_are_taken_and_a_menu_offers_each_once(found: list[tuple[str, str]]) -> None:
    items = [Suggestion(title, url, platform=title) for title, url in found]
    view: View | None = search_view(items, "es")
    taken(Reply(embed=embeds.search_embed(found[0][0], items, "es"), view=view))


def test_one_song_twice_is_one_option_and_none_is_no_menu() -> None:
    twice = Suggestion("Volver", "https://example.org/volver")
    view = search_view([twice, twice], "es")
    assert view is not None
    [menu] = view.children
    assert isinstance(menu, discord.ui.Select)
    assert len(menu.options) == 1
    assert search_view([Suggestion("Volver", "x" * 101)], "es") is None


@given(st.lists(st.tuples(AWKWARD, st.text(max_size=120)), max_size=60))
def test_choices_of_any_name_are_taken(pairs: list[tuple[str, str]]) -> None:
    named = [(cut(name, 100) or "—", value) for name, value in pairs]
    check_choices([{"name": name, "value": value} for name, value in choices_within(named)])


def test_an_embed_with_everything_too_long_is_cut_to_what_discord_takes() -> None:
    embed = discord.Embed(title="t" * 999, description="d" * 9999, url="https://a b/")
    embed.set_author(name="a" * 999).set_footer(text="f" * 9999)
    for _ in range(25):
        embed.add_field(name="n" * 999, value="v" * 9999)
    taken(Reply("c" * 9999, embed=bounded(embed)))


def test_text_that_is_too_long_even_with_the_shortest_titles_is_cut() -> None:
    assert size(lines_within(lambda most: ["x" * most] * 1000)) <= 4096
