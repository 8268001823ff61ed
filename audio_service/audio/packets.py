"""Opus packets taken apart and put together again without touching a coded bit (RFC 6716 §3).

A DCA frame is a packet of 20 ms. Frames are coded one by one, so a packet of several 20 ms frames can be split, and
two frames of 10 ms of the same kind can share a packet: both decode to the same samples. What cannot be cut (one
SILK frame of 40 or 60 ms) or is not worth it (frames of 2.5 and 5 ms) raises NotCopyableError with the reason.
Nothing is decoded; multistream packets (mapping family 1 and up) are not supported.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from audio_service.audio.base import FRAME_SAMPLES, SAMPLE_RATE

MAX_FRAME_BYTES = 1275
MAX_PACKET_SAMPLES = SAMPLE_RATE * 120 // 1000
HALF_SAMPLES = FRAME_SAMPLES // 2

# A frame length that starts with this byte or a higher one has a second byte (§3.2.1); a padding length of this
# value stands for 254 bytes and is followed by another one (§3.2.5).
_TWO_BYTES = 252
_PADDING_GOES_ON = 255
_FIRST_HYBRID, _FIRST_CELT = 12, 16
# RFC 6716 table 2, in samples at 48 kHz: SILK 10, 20, 40, 60 ms; hybrid 10, 20; CELT 2.5, 5, 10, 20.
_SILK, _HYBRID, _CELT = (480, 960, 1920, 2880), (480, 960), (120, 240, 480, 960)


def _frame_samples(config: int) -> int:
    if config < _FIRST_HYBRID:
        return _SILK[config % 4]
    if config < _FIRST_CELT:
        return _HYBRID[config % 2]
    return _CELT[config % 4]


FRAME_SAMPLES_OF_TOC: tuple[int, ...] = tuple(_frame_samples(toc >> 3) for toc in range(256))
"""Samples (48 kHz) of one frame, by the packet's first byte."""

WHOLE_FRAME_TOCS: frozenset[int] = frozenset(
    toc for toc in range(256) if toc & 3 == 0 and FRAME_SAMPLES_OF_TOC[toc] == FRAME_SAMPLES
)
"""First bytes of packets that are one frame of 20 ms, as nearly every packet is."""


class PacketError(ValueError):
    """The bytes are no valid Opus packet (RFC 6716 §3.4)."""


class NotCopyableError(Exception):
    """The packet is valid, but cannot become 20 ms packets without decoding. `reason` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Packet(NamedTuple):
    """A packet taken apart. `kind` is the TOC byte without its frame-count code; a frame may be empty (DTX)."""

    kind: int
    frames: Sequence[bytes]

    @property
    def frame_samples(self) -> int:
        """Samples (48 kHz) of one frame."""
        return FRAME_SAMPLES_OF_TOC[self.kind]

    @property
    def samples(self) -> int:
        """Samples (48 kHz) of the whole packet."""
        return self.frame_samples * len(self.frames)

    @property
    def stereo(self) -> bool:
        """Whether the frames are coded with two channels."""
        return bool(self.kind & 4)


def parse(packet: bytes) -> Packet:
    """Take a packet apart. Raises PacketError."""
    if not packet:
        raise PacketError("empty packet")
    toc, body = packet[0], packet[1:]
    frames: Sequence[bytes]
    match toc & 3:
        case 0:
            frames = (body,)
        case 1:
            frames = _equal_frames(body, 2)
        case 2:
            length, rest = _frame_length(body)
            frames = _varied_frames(rest, [length])
        case _:
            frames = _counted_frames(toc, body)
    if max(map(len, frames)) > MAX_FRAME_BYTES:
        raise PacketError(f"a frame of {max(map(len, frames))} bytes, at most {MAX_FRAME_BYTES} are legal")
    return Packet(toc & ~3, frames)


def build(kind: int, frames: Sequence[bytes]) -> bytes:
    """Make a packet of one or two frames of `kind` (codes 0 to 2; needs no padding, so it has none)."""
    first = frames[0]
    if len(frames) == 1:
        return bytes((kind,)) + first
    if len(first) == len(frames[1]):
        return bytes((kind | 1,)) + first + frames[1]
    return bytes((kind | 2,)) + _length_bytes(len(first)) + first + frames[1]


class Repacketiser:
    """Turns a stream of packets into packets of 20 ms, holding back at most one frame of 10 ms.

    Raises from `push`:
        PacketError: the packet is malformed.
        NotCopyableError: it cannot be brought to 20 ms; the stream has to be decoded.
    """

    def __init__(self) -> None:
        self._kind = 0
        self._half: bytes | None = None

    def push(self, packet: bytes) -> list[bytes]:
        """Return the 20 ms packets that this packet completes. One that is 20 ms already comes back as it is."""
        parsed = parse(packet)
        if parsed.samples == FRAME_SAMPLES and self._half is None:
            return [packet]
        if parsed.frame_samples == FRAME_SAMPLES:
            if self._half is not None:
                raise NotCopyableError("opus 10ms and 20ms frames out of step")
            return [build(parsed.kind, (frame,)) for frame in parsed.frames]
        if parsed.frame_samples != HALF_SAMPLES:
            raise NotCopyableError(f"opus {parsed.frame_samples * 1000 / SAMPLE_RATE:g}ms frames")
        return self._pair(parsed)

    def finish(self) -> list[bytes]:
        """Return the last packet when half of it is left: an empty frame fills it, which decoders conceal."""
        if self._half is None:
            return []
        last, self._half = build(self._kind, (self._half, b"")), None
        return [last]

    def _pair(self, parsed: Packet) -> list[bytes]:
        if self._half is not None and self._kind != parsed.kind:
            raise NotCopyableError("opus 10ms frames change mode within 20ms")
        self._kind = parsed.kind
        frames = parsed.frames if self._half is None else (self._half, *parsed.frames)
        self._half = frames[-1] if len(frames) % 2 else None
        return [build(parsed.kind, frames[index : index + 2]) for index in range(0, len(frames) - 1, 2)]


def _equal_frames(body: bytes, count: int) -> Sequence[bytes]:
    size, left = divmod(len(body), count)
    if left:
        raise PacketError(f"{len(body)} bytes do not make {count} equal frames")
    return [body[index * size : (index + 1) * size] for index in range(count)]


def _varied_frames(body: bytes, lengths: Sequence[int]) -> Sequence[bytes]:
    """Cut `body` into frames of these lengths and one more that takes the rest."""
    frames: list[bytes] = []
    position = 0
    for length in lengths:
        frames.append(body[position : position + length])
        position += length
    if position > len(body):
        raise PacketError(f"frames of {position} bytes in a packet of {len(body)}")
    return [*frames, body[position:]]


def _counted_frames(toc: int, body: bytes) -> Sequence[bytes]:
    """Code 3: a byte with the frame count, whether lengths differ, whether there is padding (§3.2.5)."""
    if not body:
        raise PacketError("no frame count")
    count, padded, varied = body[0] & 0x3F, body[0] & 0x40, body[0] & 0x80
    if not 0 < count * FRAME_SAMPLES_OF_TOC[toc] <= MAX_PACKET_SAMPLES:
        raise PacketError(f"{count} frames of {FRAME_SAMPLES_OF_TOC[toc]} samples")
    body = body[1:]
    if padded:
        body = _without_padding(body)
    if not varied:
        return _equal_frames(body, count)
    lengths: list[int] = []
    for _ in range(count - 1):
        length, body = _frame_length(body)
        lengths.append(length)
    return _varied_frames(body, lengths)


def _without_padding(body: bytes) -> bytes:
    padding = position = 0
    while True:
        if position >= len(body):
            raise PacketError("the packet ends in its padding length")
        step = body[position]
        position += 1
        padding += min(step, _PADDING_GOES_ON - 1)
        if step != _PADDING_GOES_ON:
            break
    if position + padding > len(body):
        raise PacketError(f"{padding} bytes of padding in a packet of {len(body)}")
    return body[position : len(body) - padding]


def _frame_length(body: bytes) -> tuple[int, bytes]:
    """Read a frame length of one or two bytes (§3.2.1); return it and what follows."""
    if not body or (body[0] >= _TWO_BYTES and len(body) == 1):
        raise PacketError("the packet ends in a frame length")
    if body[0] < _TWO_BYTES:
        return body[0], body[1:]
    return body[0] + 4 * body[1], body[2:]


def _length_bytes(length: int) -> bytes:
    if length < _TWO_BYTES:
        return bytes((length,))
    first = _TWO_BYTES + (length & 3)
    return bytes((first, (length - first) // 4))
