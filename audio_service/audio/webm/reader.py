"""Reads the Opus packets of a plain WebM or Matroska file, in order, as its bytes arrive.

Most songs come in this container, and reading it here costs a fraction of loading FFmpeg. Plain means: one
segment, its Info and Tracks before the first Cluster, a first audio track of Opus that can be copied (one or two
channels, mapping family 0, no gain, nothing compressed or encrypted), blocks without lacing, and only elements that
are listed here and in `header`. Everything else, and every sign of damage, raises
NotPlainError, and FFmpeg reads the file from its first byte: resynchronising a broken stream is left to FFmpeg.

Sources: EBML is RFC 8794 (§4 VINT, §5 Element ID, §6 Element Data Size), Matroska is RFC 9559 (§5.1 the elements, §10
Block, SimpleBlock and lacing).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import BinaryIO

from audio_service.audio.base import SAMPLE_RATE, Probed, check_reached
from audio_service.audio.webm.ebml import NotPlainError, SourceEndedError, Window, children, unsigned
from audio_service.audio.webm.header import ANYWHERE, CLUSTER, IN_SEGMENT, MAX_TICKS, read_header, skip_in_segment

# RFC 9559 §5.1.3, by Element ID with its marker bits.
_TIMESTAMP, _SIMPLE_BLOCK, _BLOCK_GROUP, _BLOCK = 0xE7, 0xA3, 0xA0, 0xA1
_DISCARD_PADDING = 0x75A2
# Position, PrevSize.
_SKIPPED_IN_CLUSTER = ANYWHERE | {0xA7, 0xAB}
# BlockDuration, ReferencePriority, ReferenceBlock, DiscardPadding.
_IN_BLOCK_GROUP = ANYWHERE | {_BLOCK, 0x9B, 0xFA, 0xFB, _DISCARD_PADDING}

_MAX_NUMBER_BYTES = 8
# The longest legal Opus packet is 61 kB (48 frames of 1275 bytes, RFC 6716 §3.2.5); real ones are a tenth of that.
_MAX_BLOCK_BYTES = 64 * 1024
# A block of another track is passed over; one that claims more than this is a damaged length.
_MAX_OTHER_BLOCK_BYTES = 16 * 1024 * 1024
_ONE_BYTE_VINT = 0x80
# WebmTrack number (a VINT), int16 timestamp, flags (RFC 9559 §10.1): for tracks up to 126 four bytes.
_BLOCK_HEADER_BYTES = 4
_LACING = 0x06
# The size of a SimpleBlock is a VINT of two bytes as a rule, or of one. By its first byte (RFC 8794 §4.3), without
# those that could be the start of "unknown" (§6.2).
_TWO_BYTES, _TWO_BYTES_END, _ONE_BYTE, _ONE_BYTE_END = 0x40, 0x7F, 0x80, 0xFF
# What a block's ID, its size in that form and its header take.
_QUICK_BYTES = 8


class WebmAudio:
    """The first audio track of a file that has been read up to its first Cluster.

    Raises, from the constructor and while iterating `packets`:
        NotPlainError: the file, or its next element, is not plain.
        whatever `file.read` raised, unchanged.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._window = Window(file)
        self._clock: int | None = None
        self._first: int | None = None
        self._last = 0
        self._padding = 0
        try:
            self._header = read_header(self._window)
        except SourceEndedError:
            raise NotPlainError("the file ends before its first cluster") from None
        track = self._header.track
        self._number = track.number
        self.extradata = track.opus_head
        self.probed = Probed("opus", "matroska", track.rate, track.channels, self._header.info.stated_ms)

    @property
    def skip(self) -> int:
        """As AudioInput.skip."""
        return self._header.track.skip

    def padding(self, samples: int) -> int:
        """As AudioInput.padding: the DiscardPadding of the last block."""
        del samples
        return self._padding

    @property
    def title(self) -> str:
        """As AudioInput.title: the tags are not read."""
        return ""

    @property
    def states_length(self) -> bool:
        """As AudioInput.states_length."""
        return self.stated_ms is not None

    @property
    def stated_ms(self) -> int | None:
        """As AudioInput.stated_ms. Of several tracks it is unknown which of them the duration belongs to."""
        return self._header.info.stated_ms if len(self._header.track_numbers) == 1 else None

    @property
    def edited(self) -> bool:
        """As AudioInput.edited: a plain file has no such packets."""
        return False

    def links(self) -> Iterator[WebmAudio]:
        """Yield this one: a plain file has one segment."""
        yield self

    def packets(self) -> Iterator[bytes]:
        """Yield the track's packets. A truncated file ends with its last complete block."""
        with suppress(SourceEndedError):
            yield from self._clusters()
        if self._first is None:
            raise NotPlainError("no packet")

    def check_complete(self, played_ms: int) -> bool:
        """Return whether the file states a duration. Raises SourceTruncated when the packets ended well before it.

        `played_ms` is what the packets amounted to; timestamps count as well, since gaps are legal. The duration is
        where the last packet ends on the file's own clock, which need not begin at 0.
        """
        info, stated_ms = self._header.info, self.stated_ms
        if stated_ms is None:
            return False
        first, last = (max(0, ticks) * info.scale // 1_000_000 for ticks in (self._first or 0, self._last))
        if stated_ms < first:
            first, last = 0, last - first
        check_reached(max(last, first + played_ms), stated_ms, first)
        return True

    def _clusters(self) -> Iterator[bytes]:
        window, last = self._window, self._header.end
        while window.offset != last:
            kind, size = window.header()
            if kind != CLUSTER:
                skip_in_segment(window, kind, size, last)
                continue
            end = last if size is None else window.offset + size
            if end > last:
                raise NotPlainError("a cluster beyond its segment")
            yield from self._blocks(end, open_ended=size is None)
        if window.has(1):
            raise NotPlainError("more after the segment")

    def _blocks(self, end: int, *, open_ended: bool) -> Iterator[bytes]:
        """Yield the packets of a Cluster."""
        window = self._window
        self._clock = None
        while window.offset < end:
            kind, size = window.header()
            if open_ended and kind in IN_SEGMENT:
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

        The fast path of nearly all of a file. It stops at every other or incomplete element, which `_element` then
        checks.
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
            self._padding = 0
            self._last = _block_time(clock, data[last + 1 : last + 3])
        return packets

    def _element(self, kind: int, size: int) -> bytes | None:
        """Take one element of a Cluster; return its packet when it is a block of our track."""
        window = self._window
        if kind == _TIMESTAMP:
            self._clock = unsigned(window.take(size, _MAX_NUMBER_BYTES))
            if self._clock > MAX_TICKS:
                raise NotPlainError(f"timestamp {self._clock}")
        elif kind == _SIMPLE_BLOCK:
            return self._simple_block(size)
        elif kind == _BLOCK_GROUP:
            found = children(window.take(size, _MAX_BLOCK_BYTES), _IN_BLOCK_GROUP)
            block = found.only(_BLOCK)
            if not block:
                raise NotPlainError("a block group without a block")
            if not self._is_other(block[0]):
                packet = self._packet(block)
                nanoseconds = int.from_bytes(found.only(_DISCARD_PADDING), "big", signed=True)
                self._padding = max(0, round(nanoseconds * SAMPLE_RATE / 1e9))
                return packet
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
        if vint - _ONE_BYTE_VINT not in self._header.track_numbers:
            raise NotPlainError("a block of an unknown track")
        return vint - _ONE_BYTE_VINT != self._number

    def _packet(self, block: bytes) -> bytes:
        if self._clock is None:
            raise NotPlainError("a block before its cluster's timestamp")
        if len(block) <= _BLOCK_HEADER_BYTES:
            raise NotPlainError("an empty block")
        if block[_BLOCK_HEADER_BYTES - 1] & _LACING:
            raise NotPlainError("lacing")
        self._last, self._padding = _block_time(self._clock, block[1:3]), 0
        if self._first is None:
            self._first = self._last
        return block[_BLOCK_HEADER_BYTES:]


def _block_time(clock: int, relative: bytes) -> int:
    """Return a block's timestamp in ticks; its own is relative to its cluster's (RFC 9559 §10.1)."""
    return clock + int.from_bytes(relative, "big", signed=True)
