"""Shows a request's progress: a live bar at a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TaskID, TextColumn
from rich.text import Text as RichText

from audio_service.media.model import human_size
from butakero.screen import clock
from butakero.texts import PLAYABLE, STAGES, WAITING, say
from common.errors import Locale
from common.messages.downloads import ProgressEvent

_STEP_PERCENT = 25


class View:
    """Base class of the views. Shows nothing."""

    def show(self, event: ProgressEvent) -> None:
        """Show one event."""


class LineView(View):
    """One line for each stage and each quarter of it, for logs and pipes."""

    def __init__(self, console: Console, locale: Locale) -> None:
        self._console = console
        self._locale: Locale = locale
        self._last: tuple[str, int, bool] | None = None

    def show(self, event: ProgressEvent) -> None:
        """Print the event if its stage, quarter or `playable` changed."""
        step = int((event.percent or 0) // _STEP_PERCENT)
        if self._last == (event.stage, step, event.playable):
            return
        self._last = (event.stage, step, event.playable)
        parts = [_stage(event, self._locale), *_facts(event)]
        self._console.print(" ".join(parts))


class BarView(View):
    """A live bar with stage, percent, speed and time left."""

    def __init__(self, progress: Progress, task: TaskID, locale: Locale) -> None:
        self._progress = progress
        self._task = task
        self._locale: Locale = locale

    def show(self, event: ProgressEvent) -> None:
        """Move the bar; it pulses while the percentage is unknown."""
        self._progress.update(
            self._task,
            description=_stage(event, self._locale),
            total=None if event.percent is None else 100,
            completed=event.percent or 0,
            event=event,
        )


class _Facts(ProgressColumn):
    """Percent, speed and time left, where the event has them."""

    def render(self, task: Task) -> RichText:
        event = task.fields.get("event")
        return RichText(" ".join(_facts(event)) if isinstance(event, ProgressEvent) else "")


@contextmanager
def open_view(console: Console, locale: Locale) -> Generator[View]:
    """Yield the view for the console; a live bar is removed from the screen afterwards."""
    if not console.is_terminal or console.is_dumb_terminal:
        yield LineView(console, locale)
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(bar_width=32), _Facts())
    with Progress(*columns, console=console, transient=True) as progress:
        yield BarView(progress, progress.add_task(say(WAITING, locale), total=None), locale)


def _stage(event: ProgressEvent, locale: Locale) -> str:
    stage = say(STAGES[event.stage], locale)
    return f"{stage} ({say(PLAYABLE, locale)})" if event.playable else stage


def _facts(event: ProgressEvent) -> list[str]:
    facts: list[str] = []
    if event.percent is not None:
        facts.append(f"{event.percent:3.0f}%")
    if event.speed_bytes_per_second:
        facts.append(f"{human_size(round(event.speed_bytes_per_second))}/s")
    if event.eta_seconds:
        facts.append(f"-{clock(max(1000, round(event.eta_seconds * 1000)))}")
    return facts
