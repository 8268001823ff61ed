"""Lists of songs as players, radios and people write them."""

from __future__ import annotations

import pytest

from audio_service.sources.ytdlp.song_lists import MAX_BYTES, Song, SongList, is_begun, may_be_list, read_list
from tests.growth import superlinear_size

AT = "https://example.org/music/list.m3u"
M3U = """#EXTM3U
#PLAYLIST:Mi lista
# a comment
#EXTINF:123,Ñandú - Canción, la primera

one.mp3
#EXTINF:-1 tvg-name="a, b" group-title="x",Two
http://media.example.net/two.ogg?a=1&b=2
/three.flac
"""
SONGS = (
    Song("https://example.org/music/one.mp3", "Ñandú - Canción, la primera", 123),
    Song("http://media.example.net/two.ogg?a=1&b=2", "Two"),
    Song("https://example.org/three.flac"),
)


def songs(text: str | bytes, *, named: bool = True, at: str = AT) -> list[str] | None:
    found = read_list(text if isinstance(text, bytes) else text.encode(), at, named=named)
    return None if found is None else [song.url for song in found.songs]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_an_m3u_in_each_encoding_and_with_each_line_end(encoding: str, line_end: str) -> None:
    body = M3U.replace("\n", line_end).encode(encoding)
    assert is_begun(body[:512], named=False)
    assert read_list(body, AT, named=False) == SongList("Mi lista", SONGS)


def test_an_m3u_without_its_first_line_must_be_named_as_one() -> None:
    body = "# by hand\none.mp3\n\ntwo.mp3"
    assert songs(body) == ["https://example.org/music/one.mp3", "https://example.org/music/two.mp3"]
    assert songs(body, named=False) is None


def test_a_pls_is_in_the_order_of_its_numbers() -> None:
    body = b"; radio\n[Playlist]\nFile10=c.mp3\nfile2 = b.mp3\nTitle2=B = b\nLength2=61\nFile1=a.mp3\nVersion=2\n"
    found = read_list(body, "http://example.org/x.pls", named=False)
    assert found is not None
    assert found.songs == (
        Song("http://example.org/a.mp3"),
        Song("http://example.org/b.mp3", "B = b", 61),
        Song("http://example.org/c.mp3"),
    )


def test_an_asx_is_read_as_it_is_written() -> None:
    body = b"""<?xml version="1.0"?>
<ASX VERSION = "3.0"><TITLE>Caf\xe9 &amp; co</TITLE><!-- <Entry><Ref href="no.wma"></Entry> -->
<Entry><title>One</title><REF HREF = "mms://example.org/one"/><ref href='one.wma?a=1&copy=2&amp;b=3'/>
<ref href="http://mirror.example.org/one.wma"/></Entry>
<entryref href="more.asx"/><base href="http://other.example.org/x/"><entry><ref href="two.wma"></entry></ASX>"""
    found = read_list(body, "http://example.org/list.asx", named=False)
    assert found == SongList(
        "Café & co",
        (
            Song("http://example.org/one.wma?a=1&copy=2&b=3", "One"),
            Song("http://example.org/more.asx"),
            Song("http://other.example.org/x/two.wma"),
        ),
    )


def test_the_short_form_of_asx() -> None:
    body = "[Reference]\r\nRef1=http://example.org/a.wma?MSWMExt=.asf\r\nRef2=http://example.org/b.wma\r\n"
    assert songs(body, named=False) == ["http://example.org/a.wma?MSWMExt=.asf", "http://example.org/b.wma"]


@pytest.mark.parametrize(
    ("entry", "address"),
    [
        ("Mi Canción #1.mp3", "https://example.org/music/Mi%20Canci%C3%B3n%20%231.mp3"),
        ("Disc 1\\one.mp3", "https://example.org/music/Disc%201/one.mp3"),
        ("a%20b.mp3", "https://example.org/music/a%20b.mp3"),
        ("../one.mp3?a=b", "https://example.org/one.mp3?a=b"),
        ("//cdn.example.org/one.mp3", "https://cdn.example.org/one.mp3"),
        ("http://example.org/one two.mp3", "http://example.org/one%20two.mp3"),
        *((entry, "") for entry in ("C:\\Music\\one.mp3", "file:///etc/passwd", "ftp://h/a.mp3", "mms://h/a")),
        *((entry, "") for entry in ("http://[", "https://", "javascript:alert(1)", AT)),
    ],
)
def test_an_entry_becomes_a_web_address_or_is_left_out(entry: str, address: str) -> None:
    assert songs(f"#EXTM3U\n{entry}\nlast.mp3\n") == [address, "https://example.org/music/last.mp3"][not address :]


@pytest.mark.parametrize(
    "body",
    [
        b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\na.ts\n#EXT-X-ENDLIST\n",
        b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\na.m3u8\n",
        b"<!doctype html><title>404</title>",
        b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\0\xaa\0\x62\xce\x6c",
        b'{"error": "gone"}',
        b"",
        b"# nothing but a comment",
    ],
)
def test_what_is_no_list_of_songs_is_none(body: bytes) -> None:
    assert songs(body) is None


def test_a_list_over_the_limit_ends_with_a_whole_line() -> None:
    body = b"#EXTM3U\n" + b"#" * (MAX_BYTES - 20) + b"\na.mp3\nb" + b"b" * 100
    assert songs(body[:MAX_BYTES]) == ["https://example.org/music/a.mp3"]


@pytest.mark.parametrize(
    ("url", "kind", "expected"),
    [
        ("http://example.org/a.mp3", "audio/mpeg", False),
        ("http://example.org/a.M3U?x=1", "audio/mpeg", True),
        ("http://example.org/a", "audio/x-scpls; charset=utf-8", True),
        ("http://example.org/a", "video/x-ms-asf", True),
        ("http://example.org/a", "text/plain", True),
        ("http://example.org/a", "", True),
        ("http://example.org/a", "video/webm", False),
    ],
)
def test_media_is_not_looked_at(url: str, kind: str, *, expected: bool) -> None:
    assert may_be_list(url, kind) is expected


@pytest.mark.parametrize(
    ("begin", "piece"),
    [
        ("#EXTM3U\n", "#EXTINF:1,a\nb\n"),
        ("#EXTM3U\n#EXTINF:", '"'),
        ("[playlist]\n", "File1=a\n"),
        *(("<asx>", piece) for piece in ("<entry>", "<!--", "<ref href=", "<", "<entry><ref href='a'></entry>")),
        ("<asx><ref href", " "),
    ],
)
def test_reading_takes_time_in_proportion_to_the_length(begin: str, piece: str) -> None:
    def make(size: int) -> bytes:
        return f"{begin}{piece * size}".encode()

    assert superlinear_size(make, lambda body: read_list(body, AT, named=True)) is None
