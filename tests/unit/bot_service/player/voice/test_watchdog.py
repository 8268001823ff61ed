from __future__ import annotations

from bot_service.player.voice.watchdog import Fault, VoiceWatch, Watchdog


def looks(watchdog: Watchdog, rate: float, seconds: float, start: float = 0.0) -> list[bool]:
    """Look four times a second at a player that sends `rate` packets a second."""
    steps = [start + step / 4 for step in range(int(seconds * 4) + 1)]
    return [watchdog.stalled(now, int((now - start) * rate)) for now in steps]


def test_a_player_on_time_is_no_stall() -> None:
    assert not any(looks(Watchdog(5.0), 50, 60))


def test_a_player_on_a_busy_machine_is_no_stall() -> None:
    assert not any(looks(Watchdog(5.0), 10, 60))


def test_a_player_that_sends_nothing_has_stalled_after_the_time_given() -> None:
    answers = looks(Watchdog(5.0), 0, 6)
    assert answers.index(True) == 20


def test_a_player_that_stops_midway_has_stalled() -> None:
    watchdog = Watchdog(5.0)
    assert not any(looks(watchdog, 50, 10))
    assert [watchdog.stalled(now, 500) for now in (12.0, 14.9, 15.1)] == [False, False, True]


def test_a_reset_forgets_the_time_before_it() -> None:
    watchdog = Watchdog(5.0)
    watchdog.stalled(0.0, 0)
    watchdog.reset()
    assert not watchdog.stalled(100.0, 0)


def test_the_next_playback_counts_from_its_own_beginning() -> None:
    watchdog = Watchdog(5.0)
    watchdog.stalled(0.0, 900)
    assert not watchdog.stalled(6.0, 0)


class Line:
    """A connection as a VoiceWatch is told of it."""

    def __init__(self) -> None:
        self.watch = VoiceWatch(closed_seconds=0.75, away_seconds=10.0, stall_seconds=5.0)

    def look(
        self, now: float, *, connected: bool = True, dead: bool = False, sent: int | None = None, frame: int = 0
    ) -> Fault | None:
        return self.watch.check(now, connected=connected, dead=dead, handed_out=sent, next_frame=frame)


def test_a_dead_connection_is_given_up_at_the_frame_at_which_that_was_seen() -> None:
    line = Line()
    assert line.look(1.0, dead=True, sent=50, frame=50) is None
    assert line.look(1.5, dead=True, sent=75, frame=75) is None
    assert line.look(1.75, dead=True, sent=87, frame=87) == Fault("closed", 50)


def test_news_of_another_server_in_time_keep_the_connection() -> None:
    line = Line()
    assert line.look(1.0, dead=True, sent=50, frame=50) is None
    assert line.look(1.5, connected=False, sent=60, frame=60) is None
    assert line.look(2.0, sent=70, frame=70) is None
    assert line.look(2.2, dead=True, sent=80, frame=80) is None


def test_a_connection_that_finds_no_other_server_is_given_up() -> None:
    line = Line()
    assert line.look(0.0, connected=False) is None
    assert line.look(9.9, connected=False) is None
    assert line.look(10.0, connected=False) == Fault("closed", 0)


def test_an_idle_connection_does_not_stall() -> None:
    line = Line()
    assert not any(line.look(float(now)) for now in range(60))


def test_a_stall_is_told_while_something_should_be_sent() -> None:
    line = Line()
    assert line.look(0.0, sent=10, frame=10) is None
    assert line.look(5.0, sent=10, frame=10) == Fault("stalled", 10)
