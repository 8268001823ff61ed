"""A request's progress at a terminal and in a pipe."""

from __future__ import annotations

import io

from rich.console import Console

from butakero.progress import open_view
from common.messages.downloads import ProgressEvent
from tests.unit.butakero.conftest import console


def event(stage: str = "downloading", **facts: float | None) -> ProgressEvent:
    return ProgressEvent.model_validate({"request_id": "r", "video_id": "v", "stage": stage, **facts})


def test_a_pipe_gets_a_line_for_each_stage_and_quarter() -> None:
    screen, said = console()
    with open_view(screen, "en") as view:
        view.show(event("resolving"))
        for percent in range(0, 101, 5):
            view.show(event(percent=percent))
        view.show(event("storing"))
    assert said().splitlines() == [
        "Looking it up",
        "Downloading   0%",
        "Downloading  25%",
        "Downloading  50%",
        "Downloading  75%",
        "Downloading 100%",
        "Storing",
    ]


def test_speed_and_time_left_are_shown_when_known() -> None:
    screen, said = console()
    with open_view(screen, "es") as view:
        view.show(event(percent=50, speed_bytes_per_second=1_572_864, eta_seconds=75.4))
    assert said() == "Descargando  50% 1.50MB/s -1:15\n"


def test_a_song_that_can_be_heard_already_says_so_once() -> None:
    screen, said = console()
    playable = ProgressEvent(request_id="r", video_id="v", stage="downloading", percent=10, playable=True)
    with open_view(screen, "es") as view:
        view.show(event(percent=10))
        view.show(playable)
        view.show(playable.model_copy(update={"percent": 12}))
    assert said().splitlines() == ["Descargando  10%", "Descargando (ya se puede escuchar)  10%"]


def test_a_terminal_gets_a_bar_that_is_removed_afterwards() -> None:
    text = io.StringIO()
    terminal = Console(file=text, force_terminal=True, width=100, markup=False, _environ={"TERM": "xterm"})
    with open_view(terminal, "en") as view:
        view.show(event(percent=None))
        view.show(event(percent=42, speed_bytes_per_second=2048))
    shown = text.getvalue()
    assert "Downloading" in shown
    assert "42% 2.00KB/s" in shown
    # The cursor is back where it was, and the line is cleared.
    assert shown.rstrip("\r").endswith("\x1b[1A\x1b[2K")


def test_a_dumb_terminal_gets_lines() -> None:
    text = io.StringIO()
    terminal = Console(file=text, force_terminal=True, width=100, markup=False, _environ={"TERM": "dumb"})
    with open_view(terminal, "en") as view:
        view.show(event("encoding", percent=10))
    assert text.getvalue() == "Encoding  10%\n"
