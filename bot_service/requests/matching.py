"""Matches a query of words against titles of the library. Pure.

A wrong song is worse than a search at the source, so a match must be confident: the title has every word of the query,
few other words, none that marks another version, and no other title scores close to it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from bot_service.store.base import Track

CONFIDENT = 0.6
"""Minimum score: the share of a title's words that the query names."""
MARGIN = 0.15
"""Minimum distance to the second-best score."""

_WORD = re.compile(r"[^\W_]+")
_ACCENTS = re.compile("[\u0300-\u036f]")
_APOSTROPHES = re.compile("['\u2019]")
# Words that uploaders add to a song's name; ignored unless the query has them.
_NOISE_WORDS = """
    official oficial video videoclip clip music audio lyric lyrics letra hd hq uhd 4k 1080p 720p mv visualizer
    visualiser remaster remastered remasterizado ft feat featuring explicit the a an y and el la los las
"""
# Words that mark another recording of the song.
_VERSION_WORDS = """
    live vivo cover remix karaoke instrumental acoustic acustico acustica unplugged sped slowed reverb nightcore 8d
    mashup medley parody parodia reaction reaccion tutorial lesson full album completo mix demo extended edit
    tribute tributo session sessions orchestra piano guitar guitarra drum bass
"""
_NOISE, _VERSIONS = frozenset(_NOISE_WORDS.split()), frozenset(_VERSION_WORDS.split())


def words_of(text: str) -> list[str]:
    """Return the words of a text: runs of letters and digits, case-folded, without accents and apostrophes."""
    folded = unicodedata.normalize("NFKD", text).casefold()
    return _WORD.findall(unicodedata.normalize("NFC", _APOSTROPHES.sub("", _ACCENTS.sub("", folded))))


def confident_match(query: str, tracks: Sequence[Track]) -> Track | None:
    """Return the confident match, or None."""
    wanted = frozenset(words_of(query))
    ranked = sorted(((score(wanted, track.title), track) for track in tracks), key=lambda pair: -pair[0])
    if not wanted or not ranked or ranked[0][0] < CONFIDENT:
        return None
    if len(ranked) > 1 and ranked[0][0] - ranked[1][0] < MARGIN:
        return None
    return ranked[0][1]


def score(wanted: frozenset[str], title: str) -> float:
    """Return the share of a title's words that are wanted, 0 to 1; 0 if one is missing, or for another version."""
    words = frozenset(words_of(title))
    if not wanted <= words or (words & _VERSIONS) - wanted:
        return 0.0
    content = words - (_NOISE - wanted)
    return len(wanted) / len(content) if content else 0.0
