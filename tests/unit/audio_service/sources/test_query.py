"""What people type becomes one query with one key, whatever way they write it."""

from __future__ import annotations

import re
import string

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from audio_service.sources.base import Query
from audio_service.sources.query import MAX_LENGTH, media_id_for, parse_query
from common.errors import InvalidInput, UrlNotAllowed
from common.links import normalise_url

WATCH = "https://www.youtube.com/watch?v={id}"
VIDEO = "k2qgadSvNyU"
CANONICAL = f"https://www.youtube.com/watch?v={VIDEO}"
KEY = re.compile(r"[A-Za-z0-9_-]{1,100}")
ID_CHARACTERS = string.ascii_letters + string.digits + "-_"

youtube_ids = st.text(ID_CHARACTERS, min_size=11, max_size=11).filter(lambda i: i not in ("videoseries", "live_stream"))


def parse(song: str) -> Query:
    return parse_query(song, WATCH)


@pytest.mark.parametrize(
    "song",
    [
        f"https://www.youtube.com/watch?v={VIDEO}",
        f"http://youtube.com/watch?v={VIDEO}",
        f"HTTPS://WWW.YouTube.COM:443/watch?v={VIDEO}#t=10",
        f"https://www.youtube.com./watch?v={VIDEO}",
        f"https://www.youtube.com/watch?list=PL123&v={VIDEO}&t=3s&index=2",
        f"https://m.youtube.com/watch?v={VIDEO}&feature=youtu.be",
        f"https://music.youtube.com/watch?v={VIDEO}&si=abc",
        f"https://youtu.be/{VIDEO}",
        f"https://youtu.be/{VIDEO}/?si=abc&t=5",
        f"https://www.youtube.com/shorts/{VIDEO}?feature=share",
        f"https://www.youtube.com/live/{VIDEO}",
        f"https://www.youtube.com/embed/{VIDEO}?autoplay=1",
        f"https://www.youtube.com/v/{VIDEO}",
        f"https://www.youtube-nocookie.com/embed/{VIDEO}",
        f"www.youtube.com/watch?v={VIDEO}",
        f"youtube.com/watch?v={VIDEO}",
        f"youtu.be/{VIDEO}",
        f"<https://youtu.be/{VIDEO}>",
        f"  https://youtu.be/{VIDEO}\n",
    ],
)
def test_every_way_to_write_a_video_is_the_same_query(song: str) -> None:
    assert parse(song) == Query(text=CANONICAL, is_url=True, media_id=VIDEO, key=VIDEO)


def test_the_canonical_url_is_built_from_the_setting() -> None:
    query = parse_query(f"https://youtu.be/{VIDEO}", "http://127.0.0.1:9/pages/{id}.html")
    assert query.text == f"http://127.0.0.1:9/pages/{VIDEO}.html"


@pytest.mark.parametrize(
    ("song", "reason"),
    [
        ("https://www.youtube.com/playlist?list=PL123", "playlist"),
        ("https://www.youtube.com/watch?list=PL123", "playlist"),
        ("https://www.youtube.com/embed/videoseries?list=PL123", "playlist"),
        ("https://www.youtube.com/embed/live_stream?channel=UC1", "one video"),
        ("https://www.youtube.com/@artist", "one video"),
        ("https://www.youtube.com/watch?v=short", "one video"),
        (f"https://www.youtube.com/watch?v={VIDEO}x", "one video"),
        (f"https://www.youtube.com/results?v={VIDEO}", "one video"),
        ("https://www.youtube.com", "one video"),
        ("https://youtu.be/", "one video"),
    ],
)
def test_a_youtube_page_that_is_not_one_video_is_refused_and_says_why(song: str, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason):
        parse(song)


@pytest.mark.parametrize(
    "song",
    [
        f"https://notyoutube.com/watch?v={VIDEO}",
        f"https://youtube.com.example.org/watch?v={VIDEO}",
        f"https://example.org/youtu.be/{VIDEO}",
        "https://example.org/song.mp3?v=1",
        "http://[::1]/x",
        "http://2130706433/",
        "www.example.org/song.mp3",
    ],
)
def test_other_urls_carry_no_id(song: str) -> None:
    query = parse(song)
    assert query.is_url
    assert query.media_id is None
    assert query.key.startswith("u-")


@pytest.mark.parametrize(
    "song",
    [
        VIDEO,
        "dua lipa new rules",
        "re:zero opening",
        "artist: song",
        "AC/DC - T.N.T.",
        "will.i.am",
        "data: the song",
        "what is https://example.org about",
        "youtube.com is down",
        "<3",
        "😀😀😀",
        "مرحبا",
    ],
)
def test_words_stay_words(song: str) -> None:
    query = parse(song)
    assert (query.text, query.is_url, query.media_id) == (song, False, None)
    assert query.key.startswith("q-")


@pytest.mark.parametrize(
    "song",
    [
        "file:///etc/passwd",
        "FILE:/etc/passwd",
        "ftp://example.org/a",
        "gopher://h",
        "data:text/html,x",
        "javascript:alert(1)",
        "<file:///etc/passwd>",
        "ytsearch://x",
        "http://user:secret@example.org/",
        "https://user@example.org/",
        "http://:@example.org/",
    ],
)
def test_other_schemes_and_credentials_are_not_allowed_and_not_repeated(song: str) -> None:
    with pytest.raises(UrlNotAllowed) as caught:
        parse(song)
    assert "secret" not in caught.value.detail


@pytest.mark.parametrize(
    "song",
    [
        "",
        "   ",
        "\t\n",
        "\u200b",
        "a\x00b",
        "a\x1bb",
        "\ud800",
        "x" * (MAX_LENGTH + 1),
        "http://",
        "http:///path",
        "http://a b/",
        "http://example.org\\@evil",
        "http://example.org:99999/",
        "http://example.org:port/",
        "http://[::1",
        "http://..",
        "https://\u2028.org",
    ],
)
def test_what_cannot_be_understood_is_invalid(song: str) -> None:
    with pytest.raises(InvalidInput):
        parse(song)


def test_the_longest_song_is_still_accepted() -> None:
    assert len(parse("x" * MAX_LENGTH).text) == MAX_LENGTH


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Dua  Lipa\tNew Rules", " dua lipa new RULES "),
        ("cafe\u0301", "CAFÉ"),
        ("straße", "STRASSE"),
        ("https://bücher.example/ü", "HTTPS://xn--bcher-kva.EXAMPLE:443/%C3%BC#part"),
        ("http://example.org", "http://EXAMPLE.org.:80/"),
        ("http://example.org?x=1", "http://example.org/?x=1"),
    ],
)
def test_equal_queries_have_equal_keys(one: str, other: str) -> None:
    assert parse(one).key == parse(other).key


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("new rules", "newrules"),
        ("http://example.org/a", "http://example.org/A"),
        ("http://example.org/a", "https://example.org/a"),
        ("http://example.org/?a=%26", "http://example.org/?a=&"),
    ],
)
def test_different_queries_have_different_keys(one: str, other: str) -> None:
    assert parse(one).key != parse(other).key


def test_words_keep_their_case_for_the_search() -> None:
    assert parse("  AC/DC   Back in\nBlack ").text == "AC/DC Back in Black"


@given(st.text(max_size=600))
def test_any_text_gives_a_query_or_a_named_refusal(song: str) -> None:
    try:
        query = parse(song)
    except (InvalidInput, UrlNotAllowed):
        return
    assert KEY.fullmatch(query.key)
    assert parse(query.text).key == query.key


@given(st.from_regex(r"https?://[a-z0-9.:@\[\]-]{1,20}[/?#]\S{0,20}", fullmatch=True))
def test_normalising_a_url_twice_changes_nothing_more(url: str) -> None:
    try:
        once = normalise_url(url)
    except (InvalidInput, UrlNotAllowed):
        assume(condition=False)
        return
    assert normalise_url(once) == once


@given(youtube_ids)
def test_any_youtube_id_is_found_again(video_id: str) -> None:
    for form in (f"https://youtu.be/{video_id}", f"youtube.com/shorts/{video_id}", WATCH.replace("{id}", video_id)):
        assert parse(form).media_id == video_id


def test_youtube_keeps_its_id() -> None:
    assert media_id_for("Youtube", VIDEO, CANONICAL) == VIDEO


def test_a_plain_file_is_named_by_where_it_lies() -> None:
    one = media_id_for("Generic", "song", "http://EXAMPLE.org:80/song.mp3#x")
    assert one == media_id_for("html5", "other", "http://example.org/song.mp3")
    assert one != media_id_for("Generic", "song", "http://example.org/other.mp3")
    assert one.startswith("web-")


def test_other_platforms_are_part_of_the_id() -> None:
    assert media_id_for("SoundCloud", "123456789", "https://soundcloud.com/x") == "soundcloud-123456789"


def test_no_other_platform_can_pose_as_a_youtube_id() -> None:
    assert len("vimeo-12345") == 11
    assert media_id_for("Vimeo", "12345", "https://vimeo.com/12345").startswith("web-")


@given(st.text(max_size=120), st.text(max_size=120), st.text(max_size=50))
def test_every_extractor_gives_a_valid_media_id(extractor: str, extractor_id: str, url: str) -> None:
    assert KEY.fullmatch(media_id_for(extractor, extractor_id, url))
