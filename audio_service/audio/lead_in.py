"""Starts a copied Opus stream where its container says that the sound begins, instead of at its first packet.

What comes before is there for the decoder alone: it needs 80 ms to reach the state that the encoder was in (RFC 7845
§4.6). A stream that simply began later would fade in, or blare, for as long. So the packets before are decoded, the
first 80 ms of the sound are encoded again, and from there on the packets are the source's own: a player's decoder
has by then decoded nearly the same and is in nearly the same state.

The start is exact to the sample: what the last dropped packet and the first one share is silent before it.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import av
import numpy as np
import numpy.typing as npt
from av.audio.frame import AudioFrame
from av.error import FFmpegError
from av.packet import Packet

from audio_service.audio.base import ENCODER_DELAY, FRAME_SAMPLES, SAMPLE_RATE, EncodeOptions
from audio_service.audio.transcode import opus_encoder

PRE_ROLL = 4
"""Packets of 20 ms that are encoded again, and at least as many are decoded before them."""

_DECODED_BEFORE = 10
_BITRATE = 256_000
_COMPLEXITY = 10
_Samples = npt.NDArray[np.float32]


class LeadIn:
    """Takes a stream's packets of 20 ms and passes on those that are to be heard.

    Args:
        skip: samples (48 kHz) to leave out at the start.
        channels: of the stream.
        put: takes the packets.
    """

    def __init__(self, skip: int, channels: int, options: EncodeOptions, put: Callable[[bytes], None]) -> None:
        self._skip = skip
        self._channels = channels
        self._options = replace(options, bitrate=_BITRATE, complexity=_COMPLEXITY)
        self._put = put
        # The encoder puts its own delay before the first sample.
        self._dropped = (skip - ENCODER_DELAY) // FRAME_SAMPLES
        self._kept: deque[bytes] = deque(maxlen=_DECODED_BEFORE + PRE_ROLL + 1)
        self._taken = 0
        self._passing = False

    def put(self, packet: bytes) -> None:
        """Take the next packet. Raises what `put` does."""
        if self._passing:
            self._put(packet)
            return
        self._kept.append(packet)
        self._taken += 1
        if self._taken > self._dropped + PRE_ROLL:
            self._pass_on(self._encoded_again())

    def finish(self) -> None:
        """Pass on what is left of a stream that is too short to be encoded again."""
        if not self._passing and self._taken > self._dropped:
            self._pass_on(list(self._kept)[self._dropped - self._taken :])

    def _pass_on(self, packets: list[bytes]) -> None:
        self._passing = True
        for packet in packets:
            self._put(packet)

    def _encoded_again(self) -> list[bytes]:
        """Return the first packets, the one that was taken last among them."""
        packets = list(self._kept)
        first = len(packets) - PRE_ROLL - 1
        try:
            sound = self._decoded(packets)
        except FFmpegError:
            return packets[first:]
        if sound.shape[1] != len(packets) * FRAME_SAMPLES:
            return packets[first:]
        begins = first * FRAME_SAMPLES + ENCODER_DELAY
        heard = sound[:, begins : begins + PRE_ROLL * FRAME_SAMPLES].copy()
        heard[:, : self._skip - self._dropped * FRAME_SAMPLES - ENCODER_DELAY] = 0
        return [*self._encoded(heard), packets[-1]]

    def _decoded(self, packets: list[bytes]) -> _Samples:
        decoder: Any = av.CodecContext.create("opus", "r")
        decoder.extradata = struct.pack("<8sBBHIhB", b"OpusHead", 1, self._channels, 0, SAMPLE_RATE, 0, 0)
        frames: list[AudioFrame] = []
        for packet in packets:
            frames += decoder.decode(Packet(packet))
        frames += decoder.decode(None)
        return np.concatenate([cast("_Samples", frame.to_ndarray()) for frame in frames], axis=1)

    def _encoded(self, sound: _Samples) -> list[bytes]:
        layout = "mono" if self._channels == 1 else "stereo"
        encoder: Any = opus_encoder(self._options, layout)
        packets: list[bytes] = []
        for start in range(0, sound.shape[1], FRAME_SAMPLES):
            block = np.ascontiguousarray(sound[:, start : start + FRAME_SAMPLES].T).reshape(1, -1)
            frame = AudioFrame.from_ndarray(block, format="flt", layout=layout)
            frame.sample_rate = SAMPLE_RATE
            packets += [bytes(packet) for packet in encoder.encode(frame)]
        return packets[:PRE_ROLL]
