"""When a song of the library is what somebody meant by some words. Pure.

A wrong song is worse than a search at the source, so the answer is None unless it is clear: every word of the query is
in the title, the title says little else, says nothing that makes it another version, and no other title comes close.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from bot_service.store.base import Track

CONFIDENT = 0.6
"""The least share of a title's words that the query has to name."""
MARGIN = 0.15
"""How far behind the next title has to be."""

_WORD = re.compile(r"[^\W_]+")
_ACCENTS = re.compile("[\u0300-\u036f]")
_APOSTROPHES = re.compile("['\u2019]")
# What uploaders write beside a song's name; it counts only when the query has it too.
_BESIDE = """
    official oficial video videoclip clip music audio lyric lyrics letra hd hq uhd 4k 1080p 720p mv visualizer
    visualiser remaster remastered remasterizado ft feat featuring explicit the a an y and el la los las
"""
# A title with one of these is another recording than the one without.
_OTHERS = """
    live vivo cover remix karaoke instrumental acoustic acustico acustica unplugged sped slowed reverb nightcore 8d
    mashup medley parody parodia reaction reaccion tutorial lesson full album completo mix demo extended edit
    tribute tributo session sessions orchestra piano guitar guitarra drum bass
"""
_NOISE, _VERSIONS = frozenset(_BESIDE.split()), frozenset(_OTHERS.split())


def words_of(text: str) -> list[str]:
    """Return the words of a text: letters and digits, without regard to case, accents and apostrophes."""
    folded = unicodedata.normalize("NFKD", text).casefold()
    return _WORD.findall(unicodedata.normalize("NFC", _APOSTROPHES.sub("", _ACCENTS.sub("", folded))))


def confident_match(query: str, tracks: Sequence[Track]) -> Track | None:
    """Return the one track that the words clearly mean, or None."""
    wanted = frozenset(words_of(query))
    ranked = sorted(((score(wanted, track.title), track) for track in tracks), key=lambda pair: -pair[0])
    if not wanted or not ranked or ranked[0][0] < CONFIDENT:
        return None
    if len(ranked) > 1 and ranked[0][0] - ranked[1][0] < MARGIN:
        return None
    return ranked[0][1]


def score(wanted: frozenset[str], title: str) -> float:
    """Return how much of a title the wanted words are, 0 to 1; 0 when one is missing, or it is another version."""
    words = frozenset(words_of(title))
    if not wanted <= words or (words & _VERSIONS) - wanted:
        return 0.0
    content = words - (_NOISE - wanted)
    return len(wanted) / len(content) if content else 0.0
