"""Reads the Opus packets of a plain WebM or Matroska file, in order, as its bytes arrive.

This is the container that songs come in most, and reading it here costs a fraction of loading FFmpeg. Plain means: one
segment, its Info and Tracks before the first Cluster, a first audio track of Opus that can be copied (one or two
channels, mapping family 0, no gain, nothing compressed or encrypted), blocks without lacing, and only elements that
are listed below. Everything else raises NotPlainError, and the file is FFmpeg's business from its first byte on. So is
every sign of damage: how to find back into a broken stream is decided in one place, and it is not here.

Sources: EBML is RFC 8794 (§4 VINT, §5 Element ID, §6 Element Data Size), Matroska is RFC 9559 (§5.1 the elements, §10
Block, SimpleBlock and lacing), Opus in it is "Codec ID A_OPUS" of the Matroska codec mappings with the OpusHead of
RFC 7845 §5.1 as CodecPrivate.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO

from audio_service.audio.base import CHANNELS, Probed, check_reached
from audio_service.audio.ebml import Children, NotPlainError, SourceEndedError, Window, children, unsigned

# RFC 8794 §11.2 and RFC 9559 §5.1, by Element ID with its marker bits.
_EBML, _READ_VERSION, _MAX_ID_LENGTH, _MAX_SIZE_LENGTH = 0x1A45DFA3, 0x42F7, 0x42F2, 0x42F3
_DOC_TYPE, _DOC_READ_VERSION, _WRITE_VERSION, _DOC_VERSION = 0x4282, 0x4285, 0x4286, 0x4287
_VOID, _CRC_32 = 0xEC, 0xBF
_SEGMENT, _SEEK_HEAD, _INFO, _TRACKS, _CLUSTER = 0x18538067, 0x114D9B74, 0x1549A966, 0x1654AE6B, 0x1F43B675
_CUES, _TAGS, _CHAPTERS, _ATTACHMENTS = 0x1C53BB6B, 0x1254C367, 0x1043A770, 0x1941A469
_SCALE, _DURATION = 0x2AD7B1, 0x4489
_TRACK, _NUMBER, _TYPE, _CODEC, _PRIVATE, _AUDIO = 0xAE, 0xD7, 0x83, 0x86, 0x63A2, 0xE1
_RATE, _CHANNEL_COUNT = 0xB5, 0x9F
_TIMESTAMP, _SIMPLE_BLOCK, _BLOCK_GROUP, _BLOCK = 0xE7, 0xA3, 0xA0, 0xA1

_GLOBAL = frozenset({_VOID, _CRC_32})
_SKIPPED_IN_SEGMENT = _GLOBAL | {_SEEK_HEAD, _CUES, _TAGS, _CHAPTERS, _ATTACHMENTS}
_IN_SEGMENT = frozenset({_CLUSTER, _INFO, _TRACKS, _SEEK_HEAD, _CUES, _TAGS, _CHAPTERS, _ATTACHMENTS})
# Position, PrevSize.
_SKIPPED_IN_CLUSTER = _GLOBAL | {0xA7, 0xAB}
# BlockDuration, ReferencePriority, ReferenceBlock, DiscardPadding.
_IN_BLOCK_GROUP = _GLOBAL | {_BLOCK, 0x9B, 0xFA, 0xFB, 0x75A2}
_IN_EBML = _GLOBAL | {
    *(_READ_VERSION, _MAX_ID_LENGTH, _MAX_SIZE_LENGTH, _DOC_TYPE, _DOC_READ_VERSION),
    *(_WRITE_VERSION, _DOC_VERSION),
}
# SegmentUUID, SegmentFilename, DateUTC, Title, MuxingApp, WritingApp.
_IN_INFO = _GLOBAL | {_SCALE, _DURATION, 0x73A4, 0x7384, 0x4461, 0x7BA9, 0x4D80, 0x5741}
# TrackUID, the Flag… (enabled, default, forced, hearing impaired … commentary, lacing), MinCache, MaxCache,
# DefaultDuration, MaxBlockAdditionID, Name, Language, LanguageBCP47, CodecName, CodecDelay, SeekPreRoll. Missing on
# purpose is what changes the packets or their clock: ContentEncodings, TrackOperation, TrackTimestampScale.
_IN_TRACK = _GLOBAL | {
    *(_NUMBER, _TYPE, _CODEC, _PRIVATE, _AUDIO),
    *(0x73C5, 0xB9, 0x88, 0x55AA, 0x55AB, 0x55AC, 0x55AD, 0x55AE, 0x55AF, 0x9C, 0x6DE7, 0x6DF8),
    *(0x23E383, 0x55EE, 0x536E, 0x22B59C, 0x22B59D, 0x258688, 0x56AA, 0x56BB),
}
# OutputSamplingFrequency, BitDepth.
_IN_AUDIO = _GLOBAL | {_RATE, _CHANNEL_COUNT, 0x78B5, 0x6264}

_DOC_TYPES = frozenset({b"webm", b"matroska"})
_NEWEST_DOC_READ_VERSION = 2
_VIDEO_TYPE, _AUDIO_TYPE, _SUBTITLE_TYPE = 1, 2, 17
_MAX_NUMBER_BYTES = 8
_MAX_HEADER_BYTES, _MAX_TRACKS_BYTES = 64 * 1024, 256 * 1024
# The longest legal Opus packet is 61 kB (48 frames of 1275 bytes, RFC 6716 §3.2.5); real ones are a tenth of that.
_MAX_BLOCK_BYTES = 64 * 1024
# A block of another track is passed over; one that claims more than this is a damaged length.
_MAX_OTHER_BLOCK_BYTES = 16 * 1024 * 1024
_ONE_BYTE_VINT = 0x80
# Track number (a VINT), int16 timestamp, flags (RFC 9559 §10.1): for tracks up to 127 four bytes.
_BLOCK_HEADER_BYTES = 4
_LACING = 0x06
_MAX_SCALE = 1_000_000_000
_MAX_TICKS = 1 << 40
_OPUS_HEAD = struct.Struct("<8sBBHIhB")
_OPUS_VERSIONS = range(1, 16)
_RATES = range(8_000, 96_001)
_ENDLESS = 1 << 62
# The size of a SimpleBlock is a VINT of two bytes as a rule, or of one. By its first byte (RFC 8794 §4.3), without
# those that could be the start of "unknown" (§6.2).
_TWO_BYTES, _TWO_BYTES_END, _ONE_BYTE, _ONE_BYTE_END = 0x40, 0x7F, 0x80, 0xFF
# What a block's ID, its size in that form and its header take.
_QUICK_BYTES = 8


@dataclass(frozen=True, slots=True)
class _Track:
    number: int
    head: bytes
    channels: int
    rate: int


class WebmAudio:
    """The first audio track of a file that has been read up to its first Cluster.

    Raises, from the constructor and while iterating `packets`:
        NotPlainError: this file, or what comes next in it, is not for this reader.
        whatever `file.read` raised, as it was.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._window = Window(file)
        self._scale = 1_000_000
        self._stated_ms: int | None = None
        self._tracks: dict[int, int] = {}
        self._clock: int | None = None
        self._first: int | None = None
        self._last = 0
        try:
            self._end = self._read_start()
            track = self._read_head()
        except SourceEndedError:
            raise NotPlainError("the file ends before its first cluster") from None
        self._number = track.number
        self.extradata = track.head
        self.probed = Probed("opus", "matroska", track.rate, track.channels, self._stated_ms)

    def packets(self) -> Iterator[bytes]:
        """Yield the track's packets. A file that breaks off ends with its last whole block."""
        with suppress(SourceEndedError):
            yield from self._clusters()
        if self._first is None:
            raise NotPlainError("no packet")

    def check_complete(self, played_ms: int) -> None:
        """Raise MediaCorrupt when the file states a duration and the packets ended well before it.

        `played_ms` is what the packets amounted to; timestamps count as well, since gaps are legal. Of a file with
        several tracks it is unknown which of them the duration belongs to.
        """
        if self._stated_ms is not None and len(self._tracks) == 1:
            reached = (self._last - (self._first or 0)) * self._scale // 1_000_000
            check_reached(max(played_ms, reached), self._stated_ms)

    def _read_start(self) -> int:
        """Read the EBML header and the Segment's; return where the segment ends."""
        window = self._window
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

    def _read_head(self) -> _Track:
        """Read up to the first Cluster."""
        window, track, informed = self._window, None, False
        while True:
            kind, size = window.header()
            if kind == _CLUSTER and track is not None and informed:
                window.back()
                return track
            if kind == _INFO and not informed:
                self._read_info(window.take(size, _MAX_HEADER_BYTES))
                informed = True
            elif kind == _TRACKS and track is None:
                track = self._read_tracks(window.take(size, _MAX_TRACKS_BYTES))
            else:
                self._skip(kind, size)

    def _read_info(self, body: bytes) -> None:
        found = children(body, _IN_INFO)
        self._scale = found.unsigned(_SCALE, self._scale)
        if not 0 < self._scale <= _MAX_SCALE:
            raise NotPlainError(f"timestamp scale {self._scale}")
        duration = found.number(_DURATION)
        if duration is None:
            return
        if not (math.isfinite(duration) and 0 < duration < _MAX_TICKS):
            raise NotPlainError(f"duration {duration}")
        self._stated_ms = int(duration * self._scale / 1000) // 1000

    def _read_tracks(self, body: bytes) -> _Track:
        chosen: _Track | None = None
        for entry in children(body, _GLOBAL | {_TRACK}).all(_TRACK):
            found = children(entry)
            number, kind = found.unsigned(_NUMBER, 0), found.unsigned(_TYPE, 0)
            if not 0 < number < _ONE_BYTE_VINT - 1 or number in self._tracks:
                raise NotPlainError(f"track number {number}")
            if kind not in {_VIDEO_TYPE, _AUDIO_TYPE, _SUBTITLE_TYPE}:
                raise NotPlainError(f"track type {kind}")
            self._tracks[number] = kind
            if kind == _AUDIO_TYPE and chosen is None:
                chosen = _opus_track(number, children(entry, _IN_TRACK))
        if chosen is None:
            raise NotPlainError("no audio")
        return chosen

    def _clusters(self) -> Iterator[bytes]:
        window = self._window
        while True:
            if window.offset == self._end:
                if window.has(1):
                    raise NotPlainError("more after the segment")
                return
            kind, size = window.header()
            if kind != _CLUSTER:
                self._skip(kind, size)
                continue
            end = self._end if size is None else window.offset + size
            if end > self._end:
                raise NotPlainError("a cluster beyond its segment")
            yield from self._blocks(end, open_ended=size is None)

    def _blocks(self, end: int, *, open_ended: bool) -> Iterator[bytes]:
        """Yield the packets of a Cluster."""
        window = self._window
        self._clock = None
        while window.offset < end:
            kind, size = window.header()
            if open_ended and kind in _IN_SEGMENT:
                window.back()
                return
            if size is None or window.offset + size > end:
                raise NotPlainError(f"element {kind:#x} is larger than its cluster")
            packet = self._element(kind, size)
            if packet is not None:
                yield packet
            if self._clock is not None and self._first is not None:
                yield from self._run_of_blocks(self._clock, end)

    def _run_of_blocks(self, clock: int, end: int) -> list[bytes]:
        """Return the packets of the plain SimpleBlocks of our track that come next, as far as they are in memory.

        Nearly all of a file passes here. At whatever is not that, or is not all there, it stops without a word: the
        next element is for `_element`, which looks with care.
        """
        window, track = self._window, _ONE_BYTE_VINT | self._number
        data, position, last = window.data, window.position, -1
        stop = min(len(data), end - window.base)
        near_stop = stop - _QUICK_BYTES
        packets: list[bytes] = []
        append = packets.append
        while position < near_stop and data[position] == _SIMPLE_BLOCK:
            size = data[position + 1]
            if _TWO_BYTES <= size < _TWO_BYTES_END:
                start = position + 3
                after = start + ((size & 0x3F) << 8 | data[position + 2])
            elif _ONE_BYTE <= size < _ONE_BYTE_END:
                start = position + 2
                after = start + (size & 0x7F)
            else:
                break
            body = start + _BLOCK_HEADER_BYTES
            if body >= after or after > stop or data[start] != track or data[start + 3] & _LACING:
                break
            append(data[body:after])
            last, position = start, after
        window.position = position
        if packets:
            self._last = _block_time(clock, data[last + 1 : last + 3])
        return packets

    def _element(self, kind: int, size: int) -> bytes | None:
        """Take one element of a Cluster; return its packet when it is a block of our track."""
        window = self._window
        if kind == _TIMESTAMP:
            self._clock = unsigned(window.take(size, _MAX_NUMBER_BYTES))
            if self._clock > _MAX_TICKS:
                raise NotPlainError(f"timestamp {self._clock}")
        elif kind == _SIMPLE_BLOCK:
            return self._simple_block(size)
        elif kind == _BLOCK_GROUP:
            block = children(window.take(size, _MAX_BLOCK_BYTES), _IN_BLOCK_GROUP).only(_BLOCK)
            if not block:
                raise NotPlainError("a block group without a block")
            if not self._is_other(block[0]):
                return self._packet(block)
        elif kind in _SKIPPED_IN_CLUSTER:
            window.skip(size)
        else:
            raise NotPlainError(f"element {kind:#x} in a cluster")
        return None

    def _simple_block(self, size: int) -> bytes | None:
        window = self._window
        window.need(1)
        if not self._is_other(window.data[window.position]):
            return self._packet(window.take(size, _MAX_BLOCK_BYTES))
        if size > _MAX_OTHER_BLOCK_BYTES:
            raise NotPlainError(f"a block of {size} bytes")
        window.skip(size)
        return None

    def _is_other(self, vint: int) -> bool:
        """Whether a block that starts with this byte belongs to one of the tracks that are passed over."""
        if vint - _ONE_BYTE_VINT not in self._tracks:
            raise NotPlainError("a block of an unknown track")
        return vint - _ONE_BYTE_VINT != self._number

    def _packet(self, block: bytes) -> bytes:
        if self._clock is None:
            raise NotPlainError("a block before its cluster's timestamp")
        if len(block) <= _BLOCK_HEADER_BYTES:
            raise NotPlainError("an empty block")
        if block[_BLOCK_HEADER_BYTES - 1] & _LACING:
            raise NotPlainError("lacing")
        self._last = _block_time(self._clock, block[1:3])
        if self._first is None:
            self._first = self._last
        return block[_BLOCK_HEADER_BYTES:]

    def _skip(self, kind: int, size: int | None) -> None:
        """Pass over an element of the Segment that says nothing about the packets."""
        if kind not in _SKIPPED_IN_SEGMENT or size is None or self._window.offset + size > self._end:
            raise NotPlainError(f"element {kind:#x} in the segment")
        self._window.skip(size)


def _block_time(clock: int, relative: bytes) -> int:
    """Return a block's timestamp in ticks; its own is relative to its cluster's (RFC 9559 §10.1)."""
    return clock + int.from_bytes(relative, "big", signed=True)


def _opus_track(number: int, found: Children) -> _Track:
    if found.only(_CODEC) != b"A_OPUS":
        raise NotPlainError("another codec")
    head = found.only(_PRIVATE)
    audio = children(found.only(_AUDIO), _IN_AUDIO)
    if len(head) != _OPUS_HEAD.size:
        raise NotPlainError("no plain OpusHead")
    magic, version, channels, _pre_skip, _rate, gain, family = _OPUS_HEAD.unpack(head)
    if magic != b"OpusHead" or version not in _OPUS_VERSIONS or gain or family:
        raise NotPlainError("no plain OpusHead")
    if not 0 < channels <= CHANNELS or audio.unsigned(_CHANNEL_COUNT, 1) != channels:
        raise NotPlainError(f"channels {channels}")
    rate = audio.number(_RATE)
    if rate is None or rate not in _RATES:
        raise NotPlainError(f"sampling frequency {rate}")
    return _Track(number, head, channels, int(rate))
