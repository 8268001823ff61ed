"""RTP packets as Discord's voice takes them: decryption, IP discovery, and the rules a stream of them must keep.

Mode `aead_xchacha20_poly1305_rtpsize`: the 12 bytes of the header (and 4 more with the extension bit) are plain and
authenticated, the last 4 bytes are the nonce's counter, big-endian here as the bot writes it. Source: Discord's page
"Voice Connections"; the RTP header is RFC 3550 5.1.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_decrypt
from nacl.exceptions import CryptoError

from common.dca import DcaReader

MODE = "aead_xchacha20_poly1305_rtpsize"
SILENCE = b"\xf8\xff\xfe"
SAMPLES_PER_FRAME = 960
KEY_BYTES = 32

_HEADER = struct.Struct(">BBHII")
_VERSION_2 = 0x80
_EXTENSION = 0x10
_PAYLOAD_TYPE = 0x78
_DISCOVERY = struct.Struct(">HHI64sH")
_DISCOVERY_REQUEST, _DISCOVERY_ANSWER, _DISCOVERY_LENGTH = 1, 2, 70


@dataclass(frozen=True, slots=True)
class Packet:
    """One received voice packet.

    Attributes:
        payload: the Opus packet, decrypted.
        nonce: the counter at its end.
        arrived: monotonic seconds.
        speaking: whether the bot had said that it speaks.
        connection: which voice connection of the guild it came by, from 1.
    """

    payload: bytes
    sequence: int
    timestamp: int
    nonce: int
    ssrc: int
    arrived: float
    speaking: bool
    connection: int

    @property
    def is_silence(self) -> bool:
        """Whether it is the silence frame that stands at every pause and end (and for a frame that came too late)."""
        return self.payload == SILENCE


@dataclass(frozen=True, slots=True)
class Header:
    sequence: int
    timestamp: int
    ssrc: int
    size: int


def read_header(datagram: bytes) -> Header | None:
    """Read the RTP header, None when the datagram is not a voice packet."""
    if len(datagram) <= _HEADER.size:
        return None
    first, kind, sequence, timestamp, ssrc = _HEADER.unpack_from(datagram)
    if first & 0xC0 != _VERSION_2 or kind & 0x7F != _PAYLOAD_TYPE:
        return None
    return Header(sequence, timestamp, ssrc, _HEADER.size + (4 if first & _EXTENSION else 0))


def decrypt(datagram: bytes, header: Header, key: bytes) -> tuple[bytes, int]:
    """Return the payload and the nonce's counter. Raises ValueError when it was not made with this key."""
    plain, sealed, counter = datagram[: header.size], datagram[header.size : -4], datagram[-4:]
    try:
        payload = crypto_aead_xchacha20poly1305_ietf_decrypt(sealed, plain, counter + bytes(20), key)
    except CryptoError as exc:
        raise ValueError("the packet is not authentic") from exc
    return payload, int.from_bytes(counter, "big")


def discovery_answer(datagram: bytes, address: tuple[str, int]) -> tuple[int, bytes] | None:
    """Return the ssrc and our answer to a request for IP discovery, None when it is none."""
    if len(datagram) != _DISCOVERY.size:
        return None
    kind, length, ssrc, _, _ = _DISCOVERY.unpack(datagram)
    if (kind, length) != (_DISCOVERY_REQUEST, _DISCOVERY_LENGTH):
        return None
    return ssrc, _DISCOVERY.pack(_DISCOVERY_ANSWER, length, ssrc, address[0].encode(), address[1])


def frames_of(path: Path) -> list[bytes]:
    """Return the Opus packets of a DCA file."""
    with path.open("rb") as file:
        return list(DcaReader(file))


def assert_stream(packets: Sequence[Packet]) -> None:
    """Assert the rules of RTP: per connection one ssrc, sequence +1 and timestamp +960 by packet, no nonce twice.

    The packets must be all that were received of each connection from some point on, silence included.
    """
    for earlier, later in itertools.pairwise(packets):
        if earlier.connection != later.connection:
            continue
        assert later.ssrc == earlier.ssrc, "the ssrc changed within a connection"
        step = (later.sequence - earlier.sequence) % 2**16
        assert step == 1, f"sequence {earlier.sequence} is followed by {later.sequence}"
        ticks = (later.timestamp - earlier.timestamp) % 2**32
        assert ticks == SAMPLES_PER_FRAME, f"timestamp {earlier.timestamp} is followed by {later.timestamp}"
    nonces = [(packet.connection, packet.nonce) for packet in packets]
    assert len(set(nonces)) == len(nonces), "a nonce was used twice with one key"


def assert_plays(packets: Sequence[Packet], frames: Sequence[bytes], *, first: int = 0) -> None:
    """Assert that the payloads are `frames` from number `first` on, in order and each once, and `assert_stream`.

    Silence frames between them are passed over (a starved or paused bot sends them): count `is_silence` to refuse them.
    """
    assert_stream(packets)
    heard = [packet.payload for packet in packets if not packet.is_silence]
    assert heard, "nothing but silence"
    expected = frames[first : first + len(heard)]
    for index, (got, wanted) in enumerate(zip(heard, expected, strict=False)):
        assert got == wanted, f"packet {index} is {_place(got, frames)}, not frame {first + index}"
    assert len(heard) == len(expected), f"{len(heard)} packets, but the file has {len(expected)} frames from {first} on"


def heard_frames(packets: Iterable[Packet], frames: Sequence[bytes]) -> list[int]:
    """Return the frame number of every packet that is no silence (frames must differ from each other).

    Raises:
        AssertionError: a packet is no frame of the file.
    """
    numbers = {frame: number for number, frame in enumerate(frames)}
    heard = [packet.payload for packet in packets if not packet.is_silence]
    assert all(payload in numbers for payload in heard), "a packet is not from the file"
    return [numbers[payload] for payload in heard]


def _place(payload: bytes, frames: Sequence[bytes]) -> str:
    return f"frame {frames.index(payload)}" if payload in frames else "not from the file"
