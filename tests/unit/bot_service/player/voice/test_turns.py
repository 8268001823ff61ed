"""Turns to join: no more than Discord takes, most listeners first, and none is lost with one who gives up."""

from __future__ import annotations

import asyncio

from bot_service.player.voice.turns import JoinTurns
from tests.waiting import patience, until

LONG = 3600.0


async def test_turns_are_given_at_once_until_none_is_left_in_the_window() -> None:
    turns = JoinTurns(joins=2, window_seconds=LONG)
    assert [turns.take() for _ in range(3)] == [True, True, False]


async def test_most_listeners_come_first_and_all_come() -> None:
    turns = JoinTurns(joins=1, window_seconds=0.05)
    came: list[int] = []
    assert turns.take()

    async def join(listeners: int) -> None:
        await turns.wait(listeners)
        came.append(listeners)

    async with asyncio.timeout(patience(10)), asyncio.TaskGroup() as tasks:
        for listeners in (1, 5, 3):
            tasks.create_task(join(listeners))
    assert came == [5, 3, 1]


async def test_one_who_stops_waiting_takes_no_turn() -> None:
    turns = JoinTurns(joins=1, window_seconds=0.05)
    assert turns.take()
    gone = asyncio.ensure_future(turns.wait(9))
    stays = asyncio.ensure_future(turns.wait(1))
    await asyncio.wait({gone}, timeout=0)
    gone.cancel()
    await until(stays.done)
    assert gone.cancelled()
    await until(turns.take)
