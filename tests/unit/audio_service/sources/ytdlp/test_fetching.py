"""What a fetch reports of its drafts when a timer, the download and the encoder report at the same moment."""

from __future__ import annotations

import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest

from audio_service.children.jobs import ChildProgress
from audio_service.sources.ytdlp.fetching import PLAYABLE_FRAMES, ProgressReporter
from audio_service.sources.ytdlp.growing import GrowingFile
from tests.waiting import until


class Listener:
    """Remembers reports, and can hold the one that is being made."""

    def __init__(self) -> None:
        self.drafts: list[int | None] = []
        self._free = threading.Event()
        self._free.set()

    def __call__(self, progress: ChildProgress) -> None:
        self.drafts.append(progress.draft)
        self._free.wait()

    @contextmanager
    def held(self, reporter: ProgressReporter) -> Generator[None]:
        """Hold a report of the download inside, so that every other report waits; let it go at the end."""
        self._free.clear()
        download = threading.Thread(target=reporter.downloading, args=({},))
        download.start()
        try:
            yield
        finally:
            self._free.set()
            download.join()


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest.fixture
def reporter(listener: Listener, tmp_path: Path) -> ProgressReporter:
    return ProgressReporter(listener, GrowingFile(tmp_path / "source"), 60_000)


def announcing() -> set[threading.Timer]:
    """Return the timers that have fired and are about to announce a draft."""

    def names(frame: FrameType | None) -> Generator[str]:
        while frame is not None:
            yield frame.f_code.co_name
            frame = frame.f_back

    frames = sys._current_frames()  # pyright: ignore[reportPrivateUsage] - documented, and the one way to look
    timers = (thread for thread in threading.enumerate() if isinstance(thread, threading.Timer))
    return {timer for timer in timers if "_announce" in names(frames.get(timer.ident or 0))}


async def ended(timers: set[threading.Timer]) -> None:
    await until(lambda: not any(timer.is_alive() for timer in timers))


async def test_a_playable_draft_is_announced(listener: Listener, reporter: ProgressReporter) -> None:
    reporter.encoding(PLAYABLE_FRAMES - 1, 0)
    assert listener.drafts == []
    reporter.encoding(PLAYABLE_FRAMES, 0)
    await until(lambda: listener.drafts)
    assert listener.drafts == [0]
    reporter.close()


async def test_a_draft_that_is_replaced_while_it_is_announced_is_not_reported(
    listener: Listener, reporter: ProgressReporter
) -> None:
    with listener.held(reporter):
        reporter.encoding(PLAYABLE_FRAMES, 0)
        await until(announcing)
        late = announcing()
        reporter.encoding(PLAYABLE_FRAMES, 1)
    await ended(late)
    await until(lambda: 1 in listener.drafts)
    assert listener.drafts == [None, 1]
    reporter.close()


async def test_nothing_is_reported_after_the_end(listener: Listener, reporter: ProgressReporter) -> None:
    reporter.close()
    reporter.encoding(PLAYABLE_FRAMES, 0)
    reporter.downloading({})
    await ended({thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)})
    assert listener.drafts == []
