"""Voice streams in a process of their own: `python -m bench.streams KIND COUNT,COUNT,… SECONDS FILE…`.

It plays so many at a time, the streams of one count being among those of the next, and prints a line of JSON for each.
Every packet is encrypted as Discord wants it, and sent into a UDP socket on this machine that nobody empties. There is
no Discord: only the connection state is ours. Kinds: `ours` is this project's playback from its blob store, sent by its
pacer; `threads` is that playback sent by discord.py's thread for each stream; `copy` is FFmpegOpusAudio with codec
"copy", and `pcm` is FFmpegPCMAudio behind a volume, encoded by libopus, both in such threads: what most bots do.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import discord
import httpx
import psutil

from bot_service.audio_api import AudioApi
from bot_service.player.voice.frames import FrameStore
from bot_service.player.voice.paced import SWITCH_SECONDS, PacedVoiceClient
from bot_service.player.voice.playback import Playback
from common.blobs.local.store import open_local
from tests.discord.crowd import FRAME_SECONDS, clock, percentile
from tests.discord.rtp import MODE
from tests.unit.bot_service.player.songs import track

KINDS = ("ours", "threads", "copy", "pcm")
# The library's first gap of 40 ms is over and rings are full; a machine that cannot do it is given up after the time.
_WARM_UP_PACKETS = 25
_WARM_UP_SECONDS = 3.0
# A stream whose first packet came late sends the next ones at once.
_SETTLE_SECONDS = 0.3
# Neither kind starts all its streams in the same millisecond.
_BETWEEN_STARTS_SECONDS = 0.007

Play = Callable[[discord.VoiceClient], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Result:
    """What was measured between two moments while all streams were on.

    Attributes:
        cpu: CPU seconds for a second of sound that was sent, child processes included.
        late_p50, late_p99, late_worst: milliseconds after the moment at which a packet was due.
        missed: share of the packets that came later than one packet's length.
        clock_p99: the same as `late_p99`, of a thread of this process that only sleeps.
        starved: silence that was sent because no frame was there.
        memory: megabytes, child processes included; pages that several share are counted once (PSS).
    """

    cpu: float
    late_p50: float
    late_p99: float
    late_worst: float
    missed: float
    clock_p99: float
    starved: int
    memory: float


class _Wire:
    """A voice connection that stands: what discord.py's voice client asks of its connection state."""

    def __init__(self, sink: tuple[str, int]) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sink = sink
        self.mode, self.secret_key, self.ssrc = MODE, list(secrets.token_bytes(32)), 1
        self.dave_session, self.can_encrypt, self.timeout, self.ws = None, False, 1.0, self
        self.sent_at: list[float] = []

    def is_connected(self) -> bool:
        return True

    def send_packet(self, packet: bytes) -> None:
        self._socket.sendto(packet, self._sink)
        self.sent_at.append(time.monotonic())

    async def speak(self, _state: object) -> None:
        """Say nothing: there is no WebSocket."""

    def close(self) -> None:
        self._socket.close()


class _Threaded(discord.VoiceClient):
    def __init__(self, client: discord.Client, wire: _Wire) -> None:
        self.wire = wire
        super().__init__(client, discord.Object(1))  # pyright: ignore[reportArgumentType] - the channel is never looked at

    def create_connection_state(self) -> Any:  # noqa: ANN401 - stands in for the library's own
        return self.wire


class _Paced(PacedVoiceClient, _Threaded):
    pass


async def measure(kind: str, counts: list[int], seconds: float, files: list[Path]) -> AsyncGenerator[Result]:
    """Look for so many seconds at each number of streams. `files`: the blob store's root, and a media file."""
    made = _Paced if kind == "ours" else _Threaded
    wires: list[_Wire] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sink:
        sink.bind(("127.0.0.1", 0))
        client = discord.Client(intents=discord.Intents.none())
        client.loop = client._connection.loop = asyncio.get_running_loop()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - set by logging in, which is not done
        async with _playing(kind, files) as (play, starved):
            for count in counts:
                while len(wires) < count:
                    wires.append(_Wire(sink.getsockname()))
                    await play(made(client, wires[-1]))
                    await asyncio.sleep(_BETWEEN_STARTS_SECONDS)
                await _warm(wires)
                yield await _look(wires, seconds, starved)
        for wire in wires:
            wire.close()


async def _look(wires: list[_Wire], seconds: float, starved: Callable[[], int]) -> Result:
    with clock() as beside:
        began, used = time.monotonic(), _cpu_seconds()
        await asyncio.sleep(seconds)
        ended, used = time.monotonic(), _cpu_seconds() - used
    memory = sum(one.memory_full_info().pss for one in [psutil.Process(), *_children()]) / 1e6
    late = [lateness for wire in wires for lateness in _lateness(wire.sent_at, began, ended)]
    return Result(
        cpu=used / (len(late) * FRAME_SECONDS),
        late_p50=percentile(late, 50) * 1000,
        late_p99=percentile(late, 99) * 1000,
        late_worst=max(late) * 1000,
        missed=sum(lateness > FRAME_SECONDS for lateness in late) / len(late),
        clock_p99=percentile(beside.lateness, 99) * 1000,
        starved=starved(),
        memory=memory,
    )


@asynccontextmanager
async def _playing(kind: str, files: list[Path]) -> AsyncGenerator[tuple[Play, Callable[[], int]]]:
    """Give what has something on in a voice, and what counts the silence of want; leaving the block ends it all."""
    ends: list[asyncio.Event] = []
    if kind in {"ours", "threads"}:
        async with (
            open_local(files[0]) as blobs,
            httpx.AsyncClient(base_url="http://127.0.0.1:9") as http,
            asyncio.TaskGroup() as tasks,
        ):
            frames, song = FrameStore(blobs, AudioApi(http)), track()
            plays: list[tuple[Playback, asyncio.Task[None]]] = []

            async def play(voice: discord.VoiceClient) -> None:
                ends.append(end := asyncio.Event())
                one = Playback(len(plays), song, 0, ended=lambda _: end.set())
                plays.append((one, tasks.create_task(one.run(voice, frames, None, None))))

            yield play, lambda: sum(one.source.starved for one, _ in plays)
            for one, reading in plays:
                reading.cancel()
                one.halt()
            await asyncio.gather(*(end.wait() for end in ends))
        return
    loop, voices = asyncio.get_running_loop(), list[discord.VoiceClient]()

    async def play_program(voice: discord.VoiceClient) -> None:
        ends.append(end := asyncio.Event())
        voices.append(voice)
        source = await asyncio.to_thread(_ffmpeg, kind, files[1])
        voice.play(source, after=lambda _: loop.call_soon_threadsafe(end.set))

    yield play_program, lambda: 0
    for voice in voices:
        voice.stop()
    await asyncio.gather(*(end.wait() for end in ends))


async def _warm(wires: list[_Wire]) -> None:
    """Wait until every stream has been on for half a second, or for as long as a machine that cannot do it is given."""
    until = time.monotonic() + _WARM_UP_SECONDS
    while min(len(wire.sent_at) for wire in wires) < _WARM_UP_PACKETS and time.monotonic() < until:  # noqa: ASYNC110 - threads ring no bell
        await asyncio.sleep(0.1)
    await asyncio.sleep(_SETTLE_SECONDS)


def _ffmpeg(kind: str, file: Path) -> discord.AudioSource:
    if kind == "copy":
        return discord.FFmpegOpusAudio(str(file), codec="copy")
    return discord.PCMVolumeTransformer(discord.FFmpegPCMAudio(str(file)), volume=0.5)


def _lateness(sent_at: list[float], began: float, ended: float) -> list[float]:
    """Return by how many seconds each packet was later than the fastest of its stream would have been."""
    offsets = [at - place * FRAME_SECONDS for place, at in enumerate(sent_at) if began <= at <= ended]
    earliest = min(offsets, default=0.0)
    return [offset - earliest for offset in offsets]


def _children() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


def _cpu_seconds() -> float:
    """Return the CPU time of this process and its children so far."""
    times = [one.cpu_times() for one in _children()]
    return time.process_time() + sum(one.user + one.system for one in times)


async def _print(kind: str, counts: str, seconds: str, files: list[str]) -> None:
    numbers = [int(count) for count in counts.split(",")]
    async for result in measure(kind, numbers, float(seconds), [Path(file) for file in files]):
        sys.stdout.write(json.dumps({name: getattr(result, name) for name in Result.__slots__}) + "\n")


def main() -> int:
    """Measure what the arguments say."""
    kind, counts, seconds, *files = sys.argv[1:]
    if kind == "ours":
        sys.setswitchinterval(SWITCH_SECONDS)
    asyncio.run(_print(kind, counts, seconds, files))
    return 0


if __name__ == "__main__":
    sys.exit(main())
