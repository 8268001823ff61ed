"""When the pacers send: on time, with no burst after a stall, and with more than one thread for many streams."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable

import pytest

from bot_service.player.voice import paced
from bot_service.player.voice.paced import Pacer, Pacers, Stream, scheduled
from tests.waiting import patience

PATIENCE_SECONDS = 30
STALL_SECONDS = 0.4


class Counted(Stream):
    """Notes when it is sent; `happens` is called with the number of each packet. Ends after `count` packets."""

    def __init__(self, count: int, happens: Callable[[int], object] = lambda _number: None) -> None:
        self.count = count
        self.happens = happens
        self.sent: list[float] = []
        self.senders: set[int] = set()
        self.over = threading.Event()

    def step(self) -> bool:
        self.sent.append(time.monotonic())
        self.senders.add(threading.get_native_id())
        self.happens(len(self.sent))
        if len(self.sent) < self.count:
            return True
        self.over.set()
        return False

    def wait(self) -> None:
        assert self.over.wait(patience(PATIENCE_SECONDS))


def test_after_a_stall_at_most_five_packets_go_out_at_once() -> None:
    pacer, other = Pacer(), Counted(60)
    ended: list[float] = []

    def stall(number: int) -> None:
        if number == 10:
            threading.Event().wait(STALL_SECONDS)
            ended.append(time.monotonic())

    stalling = Counted(30, stall)
    pacer.add(stalling)
    pacer.add(other)
    for stream in (stalling, other):
        stream.wait()
    for stream in (stalling, other):
        burst = [at for at in stream.sent if ended[0] <= at < ended[0] + 0.015]
        assert len(burst) <= 5
    assert max(after - before for before, after in zip(other.sent, other.sent[1:], strict=False)) >= STALL_SECONDS / 2


@pytest.mark.parametrize(("late_ms", "shifted_ms"), [(0, 0), (50, 0), (80, 0), (81, 1), (1000, 920), (8000, 7920)])
def test_a_short_delay_is_caught_up_and_a_longer_one_shifts_the_clock(late_ms: int, shifted_ms: int) -> None:
    due = 5_000_000_000
    assert scheduled(due, due + late_ms * 1_000_000) - due == shifted_ms * 1_000_000


def grant_priority(_which: int, _who: int, _priority: int) -> None:
    pass


def refuse_priority(_which: int, _who: int, _priority: int) -> None:
    raise PermissionError


def send_nine_streams() -> int:
    """Send them to their ends; return by how many threads."""
    pacers, streams = Pacers(), [Counted(20) for _ in range(9)]
    for stream in streams:
        pacers.add(stream)
    for stream in streams:
        stream.wait()
    return len(set[int]().union(*(stream.senders for stream in streams)))


@pytest.mark.skipif(sys.platform != "linux", reason="a priority belongs to a thread on Linux alone")
def test_many_streams_are_sent_by_one_thread_that_has_priority(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "setpriority", grant_priority)
    monkeypatch.setattr(paced, "_STREAMS_WITHOUT_PRIORITY", 4)
    assert send_nine_streams() == 1


def test_many_streams_are_sent_by_several_threads_without_priority(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "setpriority", refuse_priority)
    monkeypatch.setattr(paced, "_STREAMS_WITHOUT_PRIORITY", 4)
    assert 2 <= send_nine_streams() <= 4


@pytest.mark.skipif(sys.platform != "linux", reason="a priority belongs to a thread on Linux alone")
def test_the_sender_asks_for_priority_and_goes_on_without(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []

    def refuse(_which: int, who: int, priority: int) -> None:
        asked.append((who, priority))
        raise PermissionError

    monkeypatch.setattr(os, "setpriority", refuse)
    stream = Counted(3)
    Pacer().add(stream)
    stream.wait()
    assert asked == [(stream.senders.pop(), -10)]
