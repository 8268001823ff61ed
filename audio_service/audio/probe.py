"""Opens untrusted media with FFmpeg for reading.

FFmpeg gets a file object and nothing else: playlists, concatenations, image sequences and references to other files
are not opened (three locks: a list of demuxers, an empty list of protocols, and a callback that refuses every further
open). Only audio decoders are allowed, so video is never decoded. All FFmpeg errors are translated here.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import BinaryIO, NoReturn, cast

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet

from audio_service.audio import mp3
from audio_service.audio.base import MISSING_SHARE, Probed, check_reached
from audio_service.audio.files import HEAD_BYTES, SeekableFile, SequentialFile
from audio_service.audio.ogg_pages import PagedFile, PageWatch, Part, find_links
from audio_service.audio.protection import refuse_protected
from audio_service.audio.stated_size import stated_size
from audio_service.audio.tracks import choose_track
from audio_service.audio.trimming import padding_at_end, skipped_at_start
from common.errors import MediaCorrupt, MediaUnsupported, SourceTruncated

MAX_PACKET_BYTES = 8 * 1024 * 1024
"""A compressed packet of audio is a thousandth of this; the longest legal FLAC frame is a quarter."""

_MOST_JUNK_BYTES = 1024 * 1024
"""Before the first frame of an MP3: servers put error pages, pictures and tags of other formats there."""

_OPEN_AT_ONCE = 2

DEMUXERS = (
    "matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,ogg,mp3,flac,wav,w64,aiff,caf,aac,mpegts,flv,"
    "asf,avi,wv,ape,tta,mpc,mpc8,amr,ac3,eac3,dts,dtshd,dsf,iff"
)
DECODERS = frozenset(
    (
        *("opus", "vorbis", "aac", "mp3", "mp3float", "mp2", "mp2float", "flac", "alac", "ac3", "eac3"),
        *("pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be", "pcm_s32le", "pcm_s32be", "pcm_u8", "pcm_s8"),
        *("pcm_f32le", "pcm_f32be", "pcm_f64le", "pcm_f64be", "pcm_alaw", "pcm_mulaw"),
        *("adpcm_ms", "adpcm_ima_wav", "adpcm_ima_qt", "wmav1", "wmav2", "wmapro", "wmalossless", "wmavoice"),
        *("wavpack", "ape", "tta", "mpc7", "mpc8", "amrnb", "amrwb", "speex", "dca"),
        *("dsd_lsbf", "dsd_msbf", "dsd_lsbf_planar", "dsd_msbf_planar"),
    )
)
# Containers whose header states a duration; in the others FFmpeg derives one from the size, the bit rate or the end.
_STATING = frozenset({"mov", "matroska", "flac", "wav", "wv", "tta", "ape", "aiff", "flv", "dsf"})
# The headers of RIFF, of the format chunk and of the data: what a plain WAV has besides its samples.
_WAV_HEADERS = 44
_MAGIC = (
    *(b"\x1a\x45\xdf\xa3", b"OggS", b"fLaC", b"RIFF", b"ID3", b"FORM", b"caff", b"FLV\x01"),
    *(b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", b"wvpk", b"MAC ", b"TTA1", b"MP+", b"MPCK", b"#!AMR", b"DSD ", b"FRM8"),
)
# Of the formats without such a beginning: a packet of MPEG-TS, a frame of ADTS, of AC-3, of DTS.
_OTHER_STARTS = (*(b"\x0b\x77", b"\x7f\xfe\x80\x01"), *(b"\x47", b"\xff\xf0", b"\xff\xf1", b"\xff\xf8", b"\xff\xf9"))
# A file that was cut off ends within a packet, which may be a large one of video; damaged ones go on for longer.
_DAMAGED_SHARE = 0.25
_OPTIONS = {
    "format_whitelist": DEMUXERS,
    "codec_whitelist": ",".join(sorted(DECODERS)),
    "protocol_whitelist": "",
    "enable_drefs": "0",
    "probesize": "2000000",
}


class FfmpegAudio:
    """One audio stream of a file that FFmpeg has opened. `packets` reads forward; other streams are skipped."""

    def __init__(
        self,
        container: InputContainer,
        stream: AudioStream,
        file: SequentialFile,
        watch: PageWatch | None,
        rest: Iterator[FfmpegAudio],
    ) -> None:
        self._container = container
        self._stream = stream
        self._file = file
        self._watch = watch
        self._rest = rest
        self._first: Packet[AudioStream] | None = None
        self._last: Packet[AudioStream] | None = None
        self._discarding: bool = False
        self._tags = dict(container.metadata)
        self.skip = self.link = 0
        self.edited = False
        context = stream.codec_context
        self.extradata = context.extradata or b""
        self.probed = Probed(
            codec=context.name.removesuffix("float"),
            container=container.format.name.partition(",")[0],
            sample_rate=context.sample_rate,
            channels=context.layout.nb_channels,
            duration_ms=None if container.duration is None else container.duration // 1000,
        )

    @property
    def sequential(self) -> bool:
        """Whether this file can be read only once."""
        return not isinstance(self._file, SeekableFile)

    def links(self) -> Iterator[FfmpegAudio]:
        """Yield this one, and then the other links of a chained Ogg file. Raises as `open_media`."""
        yield self
        yield from self._rest

    def packets(self) -> Iterator[Packet[AudioStream]]:
        """Yield the stream's packets, and raise what the source raised when it did.

        Raises:
            MediaCorrupt: the container is damaged, a packet is absurdly large.
        """
        # At its end PyAV's demux looks up every stream of the container, and fails for one that appeared after
        # opening (damaged or spliced MPEG-TS). All packets have been yielded by then.
        with suppress(IndexError):
            for packet in self._container.demux(self._stream):
                size = packet.size
                if not size:
                    continue
                if size > MAX_PACKET_BYTES:
                    raise MediaCorrupt(f"a packet of {size} bytes")
                self._look_at(packet)
                self._last = packet
                yield packet
        if self._file.failure is not None:
            raise self._file.failure

    def _look_at(self, packet: Packet[AudioStream]) -> None:
        """Note what of this packet is not to be heard."""
        if self._first is None:
            self._first = packet
            self.skip = skipped_at_start(packet, self.probed.container, self.extradata)
            self._discarding = packet.is_discard
        elif packet.is_discard != self._discarding:
            # It ends at the start of the sound; after that it begins at another entry of an edit list.
            self.edited |= packet.is_discard
            self._discarding = packet.is_discard

    def padding(self, samples: int) -> int:
        """As AudioInput.padding: by the last page of an Ogg, else by the demuxer's word."""
        ends = self._watch.end_of(self.link) if self._watch and len(self._container.streams) == 1 else None
        return padding_at_end(samples, self._first, self._last, ends, self.extradata)

    def check_complete(self, played_ms: int) -> bool:
        """Return whether the container states a duration or size.

        Raises:
            SourceTruncated: the media ended well before it.
            MediaCorrupt: so it did, and there is more of the file, which nothing can be read of.

        `played_ms` is what the packets amounted to; timestamps count as well, since gaps are legal.
        """
        if self.probed.container == "ogg":
            return self._check_pages()
        if (size := stated_size(self._file.head)) is not None:
            _check_size(self._file, size)
            return True
        stated = self.stated_ms
        if stated is None:
            return False
        first, last = self._clock_ms()
        if self._counts_from_the_first_packet(first, stated):
            # What an edit list leaves out at the start is there; its own duration may not allow for that.
            first, last = 0, last - first
        first = max(first, 0)
        try:
            check_reached(max(last, first + played_ms), stated, first)
        except SourceTruncated as exc:
            if self._unread_share() > _DAMAGED_SHARE:
                raise MediaCorrupt(f"nothing of it is readable from there on: {exc.detail}") from exc
            raise
        return True

    def _unread_share(self) -> float:
        """Return which part of the file lies behind the last packet; next to nothing does in one that was cut off."""
        last, size = self._last, self._file.size()
        if last is None or last.pos is None or not size:
            return 0.0
        return 1 - (last.pos + last.size) / size

    def _check_pages(self) -> bool:
        """For Ogg, which states no length: each page states its own, and the last of a stream that it is the last."""
        watch = self._watch
        if watch is None or not watch.in_step:
            return False
        if watch.cut:
            raise SourceTruncated("ends within a page")
        return watch.ended

    @property
    def title(self) -> str:
        """As AudioInput.title: ID3 tags, Vorbis comments and their like."""
        found = {key.lower(): text.strip() for key, text in (*self._stream.metadata.items(), *self._tags.items())}
        return " - ".join(filter(None, (found.get("artist"), found["title"]))) if found.get("title") else ""

    @property
    def states_length(self) -> bool:
        """As AudioInput.states_length."""
        return stated_size(self._file.head) is not None or self.stated_ms is not None

    @property
    def stated_ms(self) -> int | None:
        """As AudioInput.stated_ms."""
        if self.probed.container == "mp3":
            return mp3.stated_ms(self._file.behind_tag())
        if self.probed.container not in _STATING:
            return None
        stream = self._stream
        if stream.duration is not None and stream.time_base is not None:
            return int(stream.duration * stream.time_base * 1000)
        if self.probed.container == "wav":
            # FFmpeg derives it in a file that it can seek in only.
            size, rate = stated_size(self._file.head), stream.codec_context.bit_rate
            return None if size is None or not rate else max(0, size - _WAV_HEADERS) * 8 * 1000 // rate
        # Of a file's duration it is unknown which stream it belongs to, unless there is one stream only.
        return self.probed.duration_ms if len(self._container.streams) == 1 else None

    def _counts_from_the_first_packet(self, first_ms: int, stated_ms: int) -> bool:
        """Whether the stated duration leaves out what is before the first packet.

        That of an MP4's track does, when an index lists its packets or an edit list has the clock begin later. Of a
        Matroska file, and else of an MP4's fragments, it is where the last packet ends on the file's own clock.
        """
        by_track = self.probed.container == "mov" and (self._stream.frames > 0 or first_ms < 0)
        return by_track or stated_ms < first_ms

    def _clock_ms(self) -> tuple[int, int]:
        """Return when the first packet begins and the last one ends, by their timestamps."""
        first, last = self._first, self._last
        if first is None or first.pts is None or last is None or last.pts is None:
            return 0, 0
        end = last.pts + (last.duration or 0)
        return int(first.pts * first.time_base * 1000), int(end * last.time_base * 1000)


class _Opened:
    """The files that FFmpeg opens for one source: one as a rule, and one for each link of a chained Ogg file."""

    def __init__(self, file: BinaryIO, language: str, kind: str | None) -> None:
        self._file = file
        self._kind = kind
        self._language = language
        self._sources: list[SequentialFile] = []
        self._containers: list[InputContainer] = []
        self._links = 0
        self.watch: PageWatch | None = None

    def first(self) -> FfmpegAudio:
        """Open the source, or the first link of it."""
        if not self._file.seekable():
            paged = PagedFile(self._file)
            self.watch = paged.watch
            return self._audio(SequentialFile(cast("BinaryIO", paged)), self._links_to_come(paged))
        starts, self.watch = find_links(self._file)
        if len(starts) == 1:
            return self._whole()
        ends = (*starts[1:], None)
        parts = [Part(self._file, *each) for each in zip(starts, ends, strict=True)]
        rest = (self._audio(SeekableFile(cast("BinaryIO", part))) for part in self._rewound(parts[1:]))
        parts[0].seek(0)
        return self._audio(SeekableFile(cast("BinaryIO", parts[0])), rest)

    def close(self) -> None:
        """Close what is open."""
        for container in self._containers:
            container.close()

    @property
    def failure(self) -> BaseException | None:
        """What the source raised."""
        return next((source.failure for source in self._sources if source.failure is not None), None)

    def _whole(self) -> FfmpegAudio:
        """Open a complete file; one that begins like nothing known may be an MP3 behind something else."""
        head = self._file.read(HEAD_BYTES)
        start = 0
        if not (self._kind or _looks_like_media(head) or head.startswith(_OTHER_STARTS)):
            self._file.seek(0)
            start = mp3.find_frames(self._file.read(_MOST_JUNK_BYTES)) or 0
        self._file.seek(0)
        if not start:
            return self._audio(SeekableFile(self._file))
        return self._audio(SeekableFile(cast("BinaryIO", Part(self._file, start))), kind="mp3")

    def _links_to_come(self, paged: PagedFile) -> Iterator[FfmpegAudio]:
        while paged.next_link():
            yield self._audio(SequentialFile(cast("BinaryIO", paged)))

    @staticmethod
    def _rewound(parts: Iterable[Part]) -> Iterator[Part]:
        # They share the position of one file.
        for part in parts:
            part.seek(0)
            yield part

    def _audio(
        self, source: SequentialFile, rest: Iterator[FfmpegAudio] | None = None, kind: str | None = None
    ) -> FfmpegAudio:
        self._sources = [*self._sources[-1:], source]
        container = _open(source, kind or self._kind)
        self._containers.append(container)
        refuse_protected(source.headers())
        # The decoder of the link before this one has yet to give its last samples.
        while len(self._containers) > _OPEN_AT_ONCE:
            self._containers.pop(0).close()
        stream = _audio_stream(container, self._language)
        audio = FfmpegAudio(container, stream, source, self.watch, rest or iter(()))
        audio.link, self._links = self._links, self._links + 1
        return audio


@contextmanager
def open_media(file: BinaryIO, *, language: str = "", kind: str | None = None) -> Generator[FfmpegAudio]:
    """Open a sound track of `file`, which may be seekable (then it is complete) or a growing download.

    Of several tracks it is the default one, else one in `language` (ISO 639-1). `kind`: the one demuxer for it.

    Raises, here or inside the context:
        MediaUnsupported: nothing FFmpeg may open here, or no audio in it.
        MediaCorrupt: it starts like media and is damaged.
        SourceTruncated: it ends within a page of Ogg.
        WholeFileNeededError: a sequential MP4 whose index is at its end.
        whatever `file.read` raised, unchanged.
    """
    opened = _Opened(file, language, kind)
    try:
        with closing(opened):
            yield opened.first()
    except Exception as exc:
        # The source's own failure came first and caused FFmpeg's.
        if opened.failure is not None and exc is not opened.failure:
            raise opened.failure from None
        if isinstance(exc, FFmpegError | MediaCorrupt) and opened.watch is not None and opened.watch.cut:
            raise SourceTruncated("ends within a page") from exc
        if isinstance(exc, FFmpegError):
            raise MediaCorrupt(_describe(exc)) from exc
        raise


def probe(file: BinaryIO) -> Probed:
    """Say what `file` holds. Raises as `open_media`."""
    with open_media(file) as media:
        return media.probed


def _open(source: SequentialFile, kind: str | None) -> InputContainer:
    try:
        return av.open(source, "r", format=kind, options=_OPTIONS, metadata_errors="replace", io_open=_refuse)
    except FFmpegError as exc:
        if not source.head:
            raise MediaCorrupt("the file is empty") from exc
        if isinstance(source, SeekableFile) and (size := stated_size(source.head)) is not None:
            # The tables behind the sound are missing, without which some cannot be opened.
            _check_size(source, size)
        if _looks_like_media(source.head):
            raise MediaCorrupt(_describe(exc)) from exc
        raise MediaUnsupported(_describe(exc)) from exc


def _check_size(file: SequentialFile, stated: int) -> None:
    there = file.size()
    if there < stated * (1 - MISSING_SHARE):
        raise SourceTruncated(f"ends at {there} bytes of {stated}")


def _refuse(url: str, flags: int, options: dict[str, str]) -> NoReturn:
    del flags, options
    raise PermissionError(f"media may not open {url!r}")


def _audio_stream(container: InputContainer, language: str) -> AudioStream:
    streams = container.streams.audio
    if not streams:
        raise MediaUnsupported(f"no audio in {container.format.name}")
    stream = choose_track(streams, _is_decodable, language)
    if not _is_decodable(stream):
        # The stubs promise a context; a codec that has no decoder in this build has none.
        context = cast("object | None", stream.codec_context)
        raise MediaUnsupported(f"codec {'unknown' if context is None else stream.codec_context.name}")
    return stream


def _is_decodable(stream: AudioStream) -> bool:
    return cast("object | None", stream.codec_context) is not None and stream.codec_context.name in DECODERS


def _looks_like_media(head: bytes) -> bool:
    return head.startswith(_MAGIC) or head[4:8] in {b"ftyp", b"moov", b"mdat"}


def _describe(exc: FFmpegError) -> str:
    return f"{type(exc).__name__}: {exc.strerror}"
