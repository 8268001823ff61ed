"""From media to DCA: copies Opus packets where that is exact, decodes and encodes where it is not.

The mode is decided by the packets' TOC bytes, never by the container, and recorded with its reason:

- passthrough: every packet is 20 ms already; the bytes of the source's packets are the DCA frames
- repacketised: packets were split or joined without decoding (see `audio_service.audio.packets`)
- transcoded: decoded, resampled and encoded by libopus

Packets come from the reader of plain WebM when the file is that, and from FFmpeg's demuxers otherwise; only then is
FFmpeg loaded. The outcome is the same (docs/adr/0005-passthrough.md).

The DCA header names the mode, so a stream that turns out to need another mode is started again.
The encoder's delay (312 samples) is not cut from copied streams: DCA cannot say it, and players start mid-stream
anyway. What a container leaves out beyond it, by pre-skip or an edit list, is left out (see `lead_in`), as are whole
frames of padding at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, BinaryIO, Protocol, SupportsBytes, cast

from audio_service.audio.base import (
    BY_ITS_END,
    CHANNELS,
    ENCODER_DELAY,
    FRAME_MS,
    FRAME_SAMPLES,
    NOT_STATED,
    SAMPLE_RATE,
    STATED,
    Encoded,
    EncodeOptions,
    Mode,
    OnFrames,
    Origin,
    Probed,
)
from audio_service.audio.files import StartKept
from audio_service.audio.packets import (
    HALF_SAMPLES,
    MAX_FRAME_BYTES,
    WHOLE_FRAME_TOCS,
    NotCopyableError,
    PacketError,
    Repacketiser,
    parse,
)
from audio_service.audio.sink import FrameSink, HeldBack
from audio_service.audio.webm.ebml import NotPlainError
from audio_service.audio.webm.reader import WebmAudio
from common.dca import DcaMetadata, OpusInfo, OriginInfo
from common.errors import MediaCorrupt, MediaTooLong, MediaUnsupported

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.packet import Packet

# A few bytes of DTX packets, or of a WAV of 1 Hz, are minutes to be encoded: where no length is stated, such input is
# given up. The lowest rates of speech are ten times this, and silence takes more over minutes.
_FRAMES_PER_LOOK = 120_000 // FRAME_MS
_LEAST_BYTES_PER_SECOND = 30
_HEADERS = (b"OpusHead", b"OpusTags")
_HEAD_GAIN = slice(16, 18)
_HEAD_FAMILY = 18


class AudioInput(Protocol):
    """One audio stream of an open file: WebmAudio, or FfmpegAudio for every other file."""

    @property
    def probed(self) -> Probed:
        """What the file holds."""
        ...

    @property
    def extradata(self) -> bytes:
        """For Opus, its OpusHead; b"" when there is none."""
        ...

    @property
    def skip(self) -> int:
        """Samples (48 kHz) of an Opus stream that are not to be heard at its start; known with the first packet."""
        ...

    def padding(self, samples: int) -> int:
        """Return how many of an Opus stream's `samples` (48 kHz) are padding at its end; negative when it states more.
        Known with the last packet.
        """
        ...

    @property
    def title(self) -> str:
        """Artist and title by the tags of the file, "" without them."""
        ...

    @property
    def states_length(self) -> bool:
        """Whether the container states how long or how large it is."""
        ...

    @property
    def stated_ms(self) -> int | None:
        """The length that the container states, None when it states none."""
        ...

    @property
    def edited(self) -> bool:
        """Whether a packet that was read, after the start, is not to be heard."""
        ...

    def links(self) -> Iterator[AudioInput]:
        """Yield this one, and then what follows it in the same file: see `FfmpegAudio.links`."""
        ...

    def packets(self) -> Iterator[SupportsBytes]:
        """Yield the stream's packets."""
        ...

    def check_complete(self, played_ms: int) -> bool:
        """Return whether the media states its length. Raises SourceTruncated when it ended well before it."""
        ...


Packets = Iterator[SupportsBytes]
Put = Callable[[bytes], None]


@dataclass(frozen=True, slots=True)
class _Plan:
    mode: Mode
    reason: str


class _PlanChanged(Exception):
    """The plan cannot take the next packet; `plan` is one that can."""

    def __init__(self, plan: _Plan) -> None:
        super().__init__(plan.reason)
        self.plan = plan


def encode_dca(
    source: BinaryIO, out: BinaryIO, *, origin: Origin, options: EncodeOptions, on_frames: OnFrames
) -> Encoded:
    """Make a DCA1 file of the first audio stream in `source`. Neither file is closed.

    Args:
        source: complete and seekable, or a growing download without `seek` whose `read` blocks.
        out: written in order; when the mode must change midway, it is truncated and written again.
        origin: for the file's metadata.
        options: encoder settings and limits.
        on_frames: called at the first frame and then once for each second of audio; may raise to abort.

    Raises:
        WholeFileNeededError: `source` cannot be seeked and this media needs it; call again with the complete file.
        MediaUnsupported: no audio that can be decoded here.
        MediaCorrupt: damaged, or without any audio frame.
        SourceTruncated: it ends well before the length it states.
        MediaTooLong: more audio than `options.max_duration_ms`.
        whatever `source.read`, `out.write` and `on_frames` raise, unchanged.
    """

    def sink(metadata: DcaMetadata) -> FrameSink:
        return FrameSink(out, metadata, options, on_frames)

    plan = _Plan("transcoded", "forced") if options.force_transcode else None
    plain = True
    file = source if source.seekable() else cast("BinaryIO", StartKept(source))
    while True:
        plain = plain and (plan is None or plan.mode != "transcoded")
        try:
            with _open(file, options, plain=plain) as media:
                return _encode(media, plan, options, sink, origin)
        except _PlanChanged as change:
            plan, reason = change.plan, change.plan.reason
        except (NotPlainError, PacketError) as exc:
            # FFmpeg's demuxer of WebM drops malformed packets, as players do, and knows how to go on after damage.
            if not plain:
                raise MediaCorrupt(f"opus packet: {exc}") from exc
            plain, reason = False, str(exc)
        _start_again(file, reason)
        out.seek(0)
        out.truncate()


def _open(file: BinaryIO, options: EncodeOptions, *, plain: bool) -> AbstractContextManager[AudioInput]:
    """Open a plain WebM here and everything else with FFmpeg. Raises NotPlainError when it was not that plain."""
    if plain:
        return nullcontext(WebmAudio(file))
    # Only now: loading FFmpeg takes longer than copying a song.
    from audio_service.audio.probe import open_media  # noqa: PLC0415 - see above

    return open_media(file, language=options.language)


def _start_again(file: BinaryIO | StartKept, reason: str) -> None:
    if isinstance(file, StartKept):
        file.start_again(reason)
    else:
        file.seek(0)


def _encode(
    media: AudioInput,
    plan: _Plan | None,
    options: EncodeOptions,
    open_sink: Callable[[DcaMetadata], FrameSink],
    origin: Origin,
) -> Encoded:
    links = media.links()
    first_link = next(links)
    packets = first_link.packets()
    first = next(packets, None)
    if first is None:
        raise MediaCorrupt("no audio in the stream")
    plan = plan or _decide(media, bytes(first))
    if plan.mode == "transcoded" and isinstance(media, WebmAudio):
        # Decoding needs the packets as FFmpeg's demuxer gives them.
        raise _PlanChanged(plan)
    sink = open_sink(_metadata(first_link, plan, origin, options))
    begun = chain(((first_link, chain((first,), packets)),), _following(links, plan))
    if plan.mode == "transcoded":
        # Encoding is not cheap as copying is: what says that it is too long is not encoded up to the limit.
        stated = first_link.stated_ms
        if stated is not None and stated > options.max_duration_ms:
            raise MediaTooLong(f"states {stated} ms, at most {options.max_duration_ms} ms are taken")
        _transcode(begun, sink, options, length_stated=stated is not None)
    else:
        for link, rest in begun:
            _copy_link(link, rest, plan, sink, options)
    if not sink.frames:
        raise MediaCorrupt("no audio in the stream")
    size, sha256 = sink.finish()
    states_length = media.check_complete(sink.frames * FRAME_MS) or options.length_stated
    return Encoded(
        mode=plan.mode,
        reason=plan.reason,
        frames=sink.frames,
        size=size,
        sha256=sha256,
        source_codec=media.probed.codec,
        source_container=media.probed.container,
        states_length=states_length,
        title=media.title,
    )


def _following(links: Iterator[AudioInput], plan: _Plan) -> Iterator[tuple[AudioInput, Packets]]:
    """Yield the other links and their packets. Raises _PlanChanged for one that cannot be copied when the first is."""
    for link in links:
        packets = link.packets()
        first = next(packets, None)
        if first is None:
            continue
        if plan.mode != "transcoded" and (found := _decide(link, bytes(first))).mode == "transcoded":
            raise _PlanChanged(found)
        yield link, chain((first,), packets)


def _copy_link(link: AudioInput, packets: Packets, plan: _Plan, sink: FrameSink, options: EncodeOptions) -> None:
    """Copy the packets of a link from where its sound begins."""
    copy = _copy if plan.mode == "passthrough" else _repacketise
    end = HeldBack(sink.put)
    # Known once the first packet was read.
    skip = link.skip
    if skip < ENCODER_DELAY + FRAME_SAMPLES:
        samples = copy(packets, end.put)
    else:
        from audio_service.audio.lead_in import LeadIn  # noqa: PLC0415 - it loads FFmpeg, as in _open

        lead_in = LeadIn(skip, link.probed.channels, options, end.put)
        samples = copy(packets, lead_in.put)
        lead_in.finish()
    end.finish(link.padding(samples) + -samples % FRAME_SAMPLES)
    if link.edited:
        raise _PlanChanged(_Plan("transcoded", "edit list"))


def _decide(media: AudioInput, first: bytes) -> _Plan:
    """Plan by codec, OpusHead (RFC 7845 §5.1; absent in MPEG-TS) and the first packet."""
    probed, head = media.probed, media.extradata
    if probed.codec != "opus":
        return _Plan("transcoded", f"codec {probed.codec}")
    if probed.channels > CHANNELS:
        return _Plan("transcoded", f"channels {probed.channels}")
    if len(head) > _HEAD_FAMILY and head.startswith(_HEADERS[0]):
        if head[_HEAD_FAMILY]:
            return _Plan("transcoded", f"mapping family {head[_HEAD_FAMILY]}")
        gain = int.from_bytes(head[_HEAD_GAIN], "little", signed=True)
        if gain:
            return _Plan("transcoded", f"opus gain {gain}")
    return _plan_for(first)


def _plan_for(packet: bytes) -> _Plan:
    """Return the cheapest plan that takes this packet. Raises PacketError."""
    parsed = parse(packet)
    try:
        if Repacketiser().push(packet) == [packet]:
            return _Plan("passthrough", "opus 48k 20ms")
    except NotCopyableError as exc:
        return _Plan("transcoded", exc.reason)
    return _Plan("repacketised", f"opus {parsed.samples * 1000 // SAMPLE_RATE}ms packets")


def _copy(packets: Packets, put: Put) -> int:
    """Copy packets of 20 ms. Return their samples."""
    count = 0
    for item in packets:
        packet = bytes(item)
        if packet[0] in WHOLE_FRAME_TOCS and len(packet) <= MAX_FRAME_BYTES:
            put(packet)
            count += 1
        elif not packet.startswith(_HEADERS):
            plan = _plan_for(packet)
            if plan.mode != "passthrough":
                raise _PlanChanged(plan)
            put(packet)
            count += 1
    return count * FRAME_SAMPLES


def _repacketise(packets: Packets, put: Put) -> int:
    """Split or join packets into such of 20 ms. Return the samples of what was given."""
    repacketiser = Repacketiser()
    count = 0
    try:
        for item in packets:
            packet = bytes(item)
            if not packet.startswith(_HEADERS):
                for frame in repacketiser.push(packet):
                    put(frame)
                    count += 1
    except NotCopyableError as exc:
        raise _PlanChanged(_Plan("transcoded", exc.reason)) from exc
    half = repacketiser.finish()
    for frame in half:
        put(frame)
    return count * FRAME_SAMPLES + len(half) * HALF_SAMPLES


def _transcode(
    links: Iterator[tuple[AudioInput, Packets]], sink: FrameSink, options: EncodeOptions, *, length_stated: bool
) -> None:
    from audio_service.audio.transcode import transcode  # noqa: PLC0415 - it loads FFmpeg, as in _open

    # Packets to be decoded come from FFmpeg's demuxer: see `encode_dca`.
    packets = chain.from_iterable(cast("Iterator[Packet[AudioStream]]", packets) for _, packets in links)
    received = 0

    def counted() -> Iterator[Packet[AudioStream]]:
        nonlocal received
        for packet in packets:
            received += packet.size
            yield packet

    for packet in transcode(counted(), options):
        sink.put(packet)
        if sink.frames % _FRAMES_PER_LOOK == 0 and not length_stated:
            seconds = sink.frames * FRAME_MS // 1000
            if received < seconds * _LEAST_BYTES_PER_SECOND:
                raise MediaUnsupported(f"{received} bytes for {seconds} s: no sound takes so few")


def _metadata(media: AudioInput, plan: _Plan, origin: Origin, options: EncodeOptions) -> DcaMetadata:
    """Return the metadata of the DCA header. The length is not known yet; the record has it. Called after the first
    packet was read.
    """
    probed = media.probed
    stated = options.length_stated or media.states_length
    length = STATED if stated else BY_ITS_END if probed.container == "ogg" else NOT_STATED
    transcoded = plan.mode == "transcoded"
    return DcaMetadata(
        opus=OpusInfo(abr=options.bitrate if transcoded else 0, channels=CHANNELS if transcoded else probed.channels),
        origin=OriginInfo(source=origin.source, channels=probed.channels, encoding=probed.codec, url=origin.url),
        title=origin.title,
        extra={"mode": plan.mode, "reason": plan.reason, "container": probed.container, "length": length},
    )
