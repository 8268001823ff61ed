"""Reads the headers of a WebM or Matroska file: the EBML header, Info and Tracks.

Says what the file's first audio track is when the file is plain (see `audio_service.audio.webm.reader`), and raises
NotPlainError for everything it does not know to be harmless: the lists of elements here say what may be there.

Sources: RFC 8794 §11.2 (the EBML header), RFC 9559 §5.1 (the elements), the Matroska codec mappings for A_OPUS, whose
CodecPrivate is the OpusHead of RFC 7845 §5.1.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field

from audio_service.audio.base import CHANNELS, SAMPLE_RATE
from audio_service.audio.webm.ebml import Children, NotPlainError, Window, children

# RFC 8794 §11.2 and RFC 9559 §5.1, by Element ID with its marker bits.
_EBML, _READ_VERSION, _MAX_ID_LENGTH, _MAX_SIZE_LENGTH = 0x1A45DFA3, 0x42F7, 0x42F2, 0x42F3
_DOC_TYPE, _DOC_READ_VERSION, _WRITE_VERSION, _DOC_VERSION = 0x4282, 0x4285, 0x4286, 0x4287
_VOID, _CRC_32 = 0xEC, 0xBF
_SEGMENT, _SEEK_HEAD, _INFO, _TRACKS = 0x18538067, 0x114D9B74, 0x1549A966, 0x1654AE6B
CLUSTER = 0x1F43B675
_CUES, _TAGS, _CHAPTERS, _ATTACHMENTS = 0x1C53BB6B, 0x1254C367, 0x1043A770, 0x1941A469
_SCALE, _DURATION = 0x2AD7B1, 0x4489
_TRACK, _NUMBER, _TYPE, _CODEC, _PRIVATE, _AUDIO = 0xAE, 0xD7, 0x83, 0x86, 0x63A2, 0xE1
_RATE, _CHANNEL_COUNT, _CODEC_DELAY = 0xB5, 0x9F, 0x56AA

ANYWHERE = frozenset({_VOID, _CRC_32})
"""What may be in any element (RFC 8794 §11.3)."""

IN_SEGMENT = frozenset({CLUSTER, _INFO, _TRACKS, _SEEK_HEAD, _CUES, _TAGS, _CHAPTERS, _ATTACHMENTS})
"""What may only be in the Segment itself: where one of these begins, a Cluster of unknown size has ended."""

_SKIPPED_IN_SEGMENT = ANYWHERE | {_SEEK_HEAD, _CUES, _TAGS, _CHAPTERS, _ATTACHMENTS}
_IN_EBML = ANYWHERE | {
    *(_READ_VERSION, _MAX_ID_LENGTH, _MAX_SIZE_LENGTH, _DOC_TYPE, _DOC_READ_VERSION),
    *(_WRITE_VERSION, _DOC_VERSION),
}
# SegmentUUID, SegmentFilename, DateUTC, Title, MuxingApp, WritingApp.
_IN_INFO = ANYWHERE | {_SCALE, _DURATION, 0x73A4, 0x7384, 0x4461, 0x7BA9, 0x4D80, 0x5741}
# TrackUID, the Flag… (enabled, default, forced, hearing impaired … commentary, lacing), MinCache, MaxCache,
# DefaultDuration, MaxBlockAdditionID, Name, Language, LanguageBCP47, CodecName, CodecDelay, SeekPreRoll. Missing on
# purpose is what changes the packets or their clock: ContentEncodings, TrackOperation, TrackTimestampScale.
_IN_TRACK = ANYWHERE | {
    *(_NUMBER, _TYPE, _CODEC, _PRIVATE, _AUDIO),
    *(0x73C5, 0xB9, 0x88, 0x55AA, 0x55AB, 0x55AC, 0x55AD, 0x55AE, 0x55AF, 0x9C, 0x6DE7, 0x6DF8),
    *(0x23E383, 0x55EE, 0x536E, 0x22B59C, 0x22B59D, 0x258688, _CODEC_DELAY, 0x56BB),
}
# OutputSamplingFrequency, BitDepth.
_IN_AUDIO = ANYWHERE | {_RATE, _CHANNEL_COUNT, 0x78B5, 0x6264}

_DOC_TYPES = frozenset({b"webm", b"matroska"})
_NEWEST_DOC_READ_VERSION = 2
_VIDEO_TYPE, _AUDIO_TYPE, _SUBTITLE_TYPE = 1, 2, 17
_MAX_HEADER_BYTES, _MAX_TRACKS_BYTES = 64 * 1024, 256 * 1024
_MAX_TRACK_NUMBER = 126
_MAX_SCALE = 1_000_000_000
MAX_TICKS = 1 << 40
_OPUS_HEAD = struct.Struct("<8sBBHIhB")
_OPUS_VERSIONS = range(1, 16)
_RATES = range(8_000, 96_001)
_MAX_DELAY = 10**12
_ENDLESS = 1 << 62


@dataclass(frozen=True, slots=True)
class WebmTrack:
    """A track of Opus that can be copied. `rate` in Hz is what the container says; the clock of Opus is 48 kHz.

    `skip`: samples (48 kHz) that are not to be heard at the start.
    """

    number: int
    opus_head: bytes
    channels: int
    rate: int
    skip: int = 0


@dataclass(frozen=True, slots=True)
class Info:
    """`scale` is the nanoseconds of a tick; `stated_ms` is None when the file does not say how long it is."""

    scale: int = 1_000_000
    stated_ms: int | None = None


@dataclass(slots=True)
class WebmHeader:
    """The headers of a file, read up to its first Cluster. `end` is the offset at which its Segment ends."""

    end: int
    info: Info = field(default_factory=Info)
    track: WebmTrack = field(default_factory=lambda: WebmTrack(0, b"", 0, 0))
    track_numbers: frozenset[int] = frozenset()


def read_header(window: Window) -> WebmHeader:
    """Read up to the first Cluster. Raises NotPlainError and SourceEndedError."""
    head = WebmHeader(_read_start(window))
    missing = {_INFO, _TRACKS}
    while True:
        kind, size = window.header()
        if kind == CLUSTER and not missing:
            window.back()
            return head
        if kind not in missing:
            skip_in_segment(window, kind, size, head.end)
            continue
        missing.remove(kind)
        if kind == _INFO:
            head.info = _info(window.take(size, _MAX_HEADER_BYTES))
        else:
            head.track, head.track_numbers = _tracks(window.take(size, _MAX_TRACKS_BYTES))


def skip_in_segment(window: Window, kind: int, size: int | None, end: int) -> None:
    """Skip an element of the Segment that does not describe the packets. Raises NotPlainError for others."""
    if kind not in _SKIPPED_IN_SEGMENT or size is None or window.offset + size > end:
        raise NotPlainError(f"element {kind:#x} in the segment")
    window.skip(size)


def _read_start(window: Window) -> int:
    """Read the EBML header and the Segment's; return where the segment ends."""
    kind, size = window.header()
    if kind != _EBML:
        raise NotPlainError("no EBML header")
    found = children(window.take(size, _MAX_HEADER_BYTES), _IN_EBML)
    if found.only(_DOC_TYPE) not in _DOC_TYPES:
        raise NotPlainError("another document type")
    limits = ((_READ_VERSION, 1, 1), (_MAX_ID_LENGTH, 4, 4), (_MAX_SIZE_LENGTH, 8, 8))
    for element, default, highest in (*limits, (_DOC_READ_VERSION, 1, _NEWEST_DOC_READ_VERSION)):
        if not 0 < found.unsigned(element, default) <= highest:
            raise NotPlainError(f"EBML header: {element:#x}")
    kind, size = window.header()
    if kind != _SEGMENT:
        raise NotPlainError("no segment")
    return _ENDLESS if size is None else window.offset + size


def _info(body: bytes) -> Info:
    found = children(body, _IN_INFO)
    scale = found.unsigned(_SCALE, 1_000_000)
    if not 0 < scale <= _MAX_SCALE:
        raise NotPlainError(f"timestamp scale {scale}")
    duration = found.number(_DURATION)
    if duration is None:
        return Info(scale)
    if not (math.isfinite(duration) and 0 < duration < MAX_TICKS):
        raise NotPlainError(f"duration {duration}")
    return Info(scale, int(duration * scale / 1000) // 1000)


def _tracks(body: bytes) -> tuple[WebmTrack, frozenset[int]]:
    chosen: WebmTrack | None = None
    numbers: set[int] = set()
    for entry in children(body, ANYWHERE | {_TRACK}).all(_TRACK):
        found = children(entry)
        number, kind = found.unsigned(_NUMBER, 0), found.unsigned(_TYPE, 0)
        if not 0 < number <= _MAX_TRACK_NUMBER or number in numbers:
            raise NotPlainError(f"track number {number}")
        if kind not in {_VIDEO_TYPE, _AUDIO_TYPE, _SUBTITLE_TYPE}:
            raise NotPlainError(f"track type {kind}")
        numbers.add(number)
        if kind == _AUDIO_TYPE:
            if chosen is not None:
                raise NotPlainError("several sound tracks")
            chosen = _opus_track(number, children(entry, _IN_TRACK))
    if chosen is None:
        raise NotPlainError("no audio")
    return chosen, frozenset(numbers)


def _opus_track(number: int, found: Children) -> WebmTrack:
    if found.only(_CODEC) != b"A_OPUS":
        raise NotPlainError("another codec")
    head = found.only(_PRIVATE)
    audio = children(found.only(_AUDIO), _IN_AUDIO)
    if len(head) != _OPUS_HEAD.size:
        raise NotPlainError("no plain OpusHead")
    magic, version, channels, pre_skip, _rate, gain, family = _OPUS_HEAD.unpack(head)
    if magic != b"OpusHead" or version not in _OPUS_VERSIONS or gain or family:
        raise NotPlainError("no plain OpusHead")
    if not 0 < channels <= CHANNELS or audio.unsigned(_CHANNEL_COUNT, 1) != channels:
        raise NotPlainError(f"channels {channels}")
    rate = audio.number(_RATE)
    if rate is None or rate not in _RATES:
        raise NotPlainError(f"sampling frequency {rate}")
    # The two are equal in a file that follows the mapping; the delay is in nanoseconds.
    delay = min(found.unsigned(_CODEC_DELAY, 0), _MAX_DELAY)
    return WebmTrack(number, head, channels, int(rate), max(pre_skip, round(delay * SAMPLE_RATE / 1e9)))
