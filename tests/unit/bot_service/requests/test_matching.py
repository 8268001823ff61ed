"""When words clearly mean one song of the library."""

from __future__ import annotations

import pytest

from bot_service.requests.matching import confident_match
from bot_service.store.base import Track


def track(title: str) -> Track:
    return Track(title, title, 1000, "https://example.org", "", "YouTube", "audio/x.dca")


@pytest.mark.parametrize(
    ("query", "titles", "found"),
    [
        ("dua lipa new rules", ["Dua Lipa - New Rules (Official Music Video)"], 0),
        ("NEW RULES, dua   lipa!", ["Dua Lipa - New Rules"], 0),
        ("bohemian rhapsody", ["Queen \u2013 Bohemian Rhapsody (Official Video Remastered)"], 0),
        ("cancion de amor", ["Canción de Amor"], 0),
        ("dont stop me now queen", ["Queen - Don\u2019t Stop Me Now"], 0),
        ("dua lipa new rules", ["Dua Lipa - New Rules", "Dua Lipa - New Rules (Live at the BBC)"], 0),
        ("dua lipa new rules live", ["Dua Lipa - New Rules", "Dua Lipa - New Rules (Live)"], 1),
        ("madonna music", ["Madonna - Music", "Madonna - Hung Up"], 0),
        ("हिन्दी गीत", ["हिन्दी गीत"], 0),
        # One word is missing, another version, too little of the title, rivals, nothing to go by.
        ("dua lipa new rules", ["Dua Lipa - Levitating"], None),
        ("dua lipa new rules", ["Dua Lipa - New Rules (Karaoke)"], None),
        ("hello", ["Adele - Hello"], None),
        ("new rules", ["Dua Lipa - New Rules", "Dua Lipa - New Rules"], None),
        ("adele hello", ["Adele - Hello", "Hello (Adele)"], None),
        ("love", ["Love me like you do all night"], None),
        ("", ["Anything"], None),
        ("???", ["???"], None),
        ("anything", [], None),
    ],
)
def test_matches(query: str, titles: list[str], found: int | None) -> None:
    tracks = [track(title) for title in titles]
    for order in (tracks, tracks[::-1]):
        match = confident_match(query, order)
        assert match is (None if found is None else tracks[found])
