"""Chooses the sound track to play when a file has several."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from av.audio.stream import AudioStream
from av.stream import Disposition

# What is no rendition of the sound itself: a commentary, and a description of the picture.
_BESIDE_THE_SOUND = Disposition.comment | Disposition.hearing_impaired | Disposition.visual_impaired
# ISO 639-1 as the settings have it, 639-2 as containers do; a BCP 47 tag begins with either.
_NAMES = {"es": frozenset({"es", "spa"}), "en": frozenset({"en", "eng"})}


def choose_track(
    streams: Sequence[AudioStream], decodable: Callable[[AudioStream], bool], language: str
) -> AudioStream:
    """Return the track that is flagged as the default one; of several or none, one in `language`; else the first.

    Commentaries, descriptions and what cannot be decoded come last. There must be at least one track.
    """
    names = _NAMES.get(language, frozenset({language}))

    def rank(stream: AudioStream) -> tuple[bool, bool, bool, bool]:
        flags = stream.disposition
        spoken = (stream.language or "").lower().partition("-")[0]
        return (
            not decodable(stream),
            bool(flags & _BESIDE_THE_SOUND),
            not flags & Disposition.default,
            spoken not in names,
        )

    return min(streams, key=rank)
