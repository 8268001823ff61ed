"""When the firing of a timer counts."""

from __future__ import annotations

import asyncio

from bot_service.player.rules.model import Timer
from bot_service.player.timers import Timers


class Fired:
    """Timers, and what they have fired."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[tuple[Timer, int]] = asyncio.Queue()
        self.timers = Timers(lambda timer, generation: self.queue.put_nowait((timer, generation)))


async def test_a_firing_counts_once() -> None:
    fired = Fired()
    fired.timers.arm(Timer.IDLE, 0)
    timer, generation = await fired.queue.get()
    assert timer is Timer.IDLE
    assert fired.timers.take(timer, generation)
    assert not fired.timers.take(timer, generation)


async def test_a_firing_is_stale_once_its_timer_was_armed_anew() -> None:
    fired = Fired()
    fired.timers.arm(Timer.IDLE, 0)
    stale = await fired.queue.get()
    fired.timers.arm(Timer.IDLE, 0)
    assert not fired.timers.take(*stale)
    assert fired.timers.take(*await fired.queue.get())


async def test_a_firing_is_stale_once_its_timer_was_disarmed() -> None:
    fired = Fired()
    fired.timers.arm(Timer.IDLE, 0)
    stale = await fired.queue.get()
    fired.timers.disarm_all()
    assert not fired.timers.take(*stale)


async def test_a_disarmed_timer_does_not_fire() -> None:
    fired = Fired()
    fired.timers.arm(Timer.IDLE, 0)
    fired.timers.disarm(Timer.IDLE)
    fired.timers.disarm(Timer.JOIN)
    fired.timers.arm(Timer.ALONE, 0)
    assert (await fired.queue.get())[0] is Timer.ALONE
    assert fired.queue.empty()
