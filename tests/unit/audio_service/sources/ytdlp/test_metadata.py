from __future__ import annotations

import pytest

from audio_service.sources.query import clean_title, valid_values
from audio_service.sources.ytdlp.metadata import describe, web_url


@pytest.mark.parametrize(
    ("title", "clean"),
    [
        ("AC/DC - Back in Black", "AC/DC - Back in Black"),
        ("../../etc/passwd", "../../etc/passwd"),
        ("  two \n lines\t\x00here ", "two lines here"),
        ("family 👨‍👩‍👧 🎵", "family 👨‍👩‍👧 🎵"),
        ("evil \u202egnp.exe\u202c", "evil gnp.exe"),
        ("أغنية جديدة", "أغنية جديدة"),
        ("a" * 600, "a" * 500),
        ("\ud800 broken", "broken"),
        ("joined \ud83d\ude00, halved \ude00\ud83d", "joined 😀, halved"),
    ],
)
def test_titles_are_one_clean_line(title: str, clean: str) -> None:
    assert clean_title(title) == clean


@pytest.mark.parametrize(
    "value",
    [None, "", "javascript:alert(1)", "data:image/png;base64,xx", "//cdn/x", "http://[::1", "http://" + "x" * 3000, 7],
)
def test_only_web_addresses_are_passed_on(value: object) -> None:
    assert web_url(value) == ""


@pytest.mark.parametrize(
    ("key", "url", "platform"),
    [
        ("Youtube", "https://www.youtube.com/watch?v=k2qgadSvNyU", "YouTube"),
        ("Soundcloud", "https://soundcloud.com/a/b", "SoundCloud"),
        ("Generic", "https://radio.example/x.mp3", "radio.example"),
        ("HTML5MediaEmbed", "https://radio.example/", "radio.example"),
        ("SomethingNew", "https://x.example/", "SomethingNew"),
    ],
)
def test_platforms_have_names_for_people(key: str, url: str, platform: str) -> None:
    _, metadata = describe({"extractor_key": key, "id": "k2qgadSvNyU", "webpage_url": url, "title": "t"}, "")
    assert metadata.platform == platform


def test_youtube_ids_are_kept_and_durations_are_milliseconds() -> None:
    info = {"extractor_key": "Youtube", "id": "k2qgadSvNyU", "title": "New Rules", "duration": 224.5}
    media_id, metadata = describe(info, "https://youtu.be/k2qgadSvNyU")
    assert (media_id, metadata.duration_ms, metadata.url) == ("k2qgadSvNyU", 224_500, "https://youtu.be/k2qgadSvNyU")


def test_every_text_of_an_answer_can_be_encoded() -> None:
    answer = {"title": "a\ud800b", "formats": [{"\udfff": ["\ud83d\ude00"], "abr": 1.5}], "id": None}
    assert valid_values(answer) == {"title": "ab", "formats": [{"": ["😀"], "abr": 1.5}], "id": None}


def test_an_address_is_one_that_can_be_sent() -> None:
    assert web_url("https://x/\ud800a").encode() == b"https://x/a"
