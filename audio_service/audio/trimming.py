"""What a stream of Opus holds that is not to be heard: before the sound, and after it to fill the last packet.

Sources: RFC 7845 §4.2, §4.4 and §5.1 (pre-skip and end trimming in Ogg), RFC 9559 §5.1.3.5.7 (DiscardPadding in
Matroska), ISO/IEC 14496-12 §8.6.6 (edit lists in MP4).
"""

from __future__ import annotations

from av.audio.stream import AudioStream
from av.packet import Packet

from audio_service.audio.base import SAMPLE_RATE

_SKIP_DATA = "skip_samples"
_OPUS_HEAD = b"OpusHead"
_PRE_SKIP = slice(10, 12)


def skipped_at_start(first: Packet[AudioStream], container: str, extradata: bytes) -> int:
    """Return the samples (48 kHz) before the sound: by the demuxer's word, the clock of an MP4, or OpusHead."""
    before = max(0, -(first.pts or 0) * first.time_base) if container == "mov" else 0
    return max(_told(first, 0), round(before * SAMPLE_RATE), _pre_skip(extradata))


def padding_at_end(
    samples: int,
    first: Packet[AudioStream] | None,
    last: Packet[AudioStream] | None,
    ends: int | None,
    extradata: bytes,
) -> int:
    """Return how many of the `samples` from the first packet to the last one are to be left out at the end.

    `ends`: the granule position of the page that ends the stream. Without one it is by the demuxer's word.
    """
    if first is None or last is None:
        return 0
    if ends is None or first.pts is None:
        return _told(last, 4)
    # The clock of the pages counts the pre-skip; FFmpeg's begins after it.
    return samples - (ends - first.pts - _pre_skip(extradata))


def _pre_skip(extradata: bytes) -> int:
    return int.from_bytes(extradata[_PRE_SKIP], "little") if extradata.startswith(_OPUS_HEAD) else 0


def _told(packet: Packet[AudioStream], at: int) -> int:
    told = next((bytes(data) for data in packet.iter_sidedata() if data.data_type == _SKIP_DATA), b"")
    return int.from_bytes(told[at : at + 4], "little")
