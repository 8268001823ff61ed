"""Turns to join: no more than Discord takes, few at once, most listeners first, none is lost with one who gives up."""

from __future__ import annotations

import asyncio

import pytest

from bot_service.player.rules.events import JoinWaits
from bot_service.player.voice.connections import CannotJoinError
from bot_service.player.voice.turns import JoinTurns
from tests.waiting import patience, until

LONG = 3600.0


def _ignore(event: JoinWaits) -> None:
    del event


async def _hold(turns: JoinTurns, listeners: int, came: list[int], until_set: asyncio.Event) -> None:
    async with turns.turn(listeners, _ignore):
        came.append(listeners)
        await until_set.wait()


async def test_turns_are_given_at_once_until_none_is_left_in_the_window() -> None:
    turns, told = JoinTurns(joins=2, window_seconds=LONG), list[JoinWaits]()
    for _ in range(2):
        async with turns.turn(1, told.append):
            pass
    third = asyncio.ensure_future(turns.turn(1, told.append).__aenter__())
    await until(lambda: told)
    assert told == [JoinWaits(waiting=True)]
    third.cancel()


async def test_most_listeners_come_first_and_all_come() -> None:
    turns, came, done = JoinTurns(joins=1, window_seconds=0.05), list[int](), asyncio.Event()
    done.set()
    async with asyncio.timeout(patience(10)), asyncio.TaskGroup() as tasks:
        for listeners in (2, 1, 5, 3):
            tasks.create_task(_hold(turns, listeners, came, done))
    assert came == [2, 5, 3, 1]


async def test_few_joins_are_under_way_at_once() -> None:
    turns, came, done = JoinTurns(at_once=2), list[int](), asyncio.Event()
    async with asyncio.timeout(patience(10)), asyncio.TaskGroup() as tasks:
        for listeners in (1, 2, 3, 4):
            tasks.create_task(_hold(turns, listeners, came, done))
        await until(lambda: came)
        assert came == [1, 2]
        done.set()
    assert came == [1, 2, 4, 3]


async def test_joins_that_time_out_are_followed_by_fewer_at_once() -> None:
    turns, came = JoinTurns(at_once=4), list[int]()

    async def under_way(joins: int) -> int:
        """Return how many of so many joins are under way at once."""
        came.clear()
        done = asyncio.Event()
        tasks = [asyncio.ensure_future(_hold(turns, 1, came, done)) for _ in range(joins)]
        await until(lambda: came)
        most = len(came)
        done.set()
        await asyncio.wait(tasks)
        return most

    for _ in range(2):
        with pytest.raises(CannotJoinError):
            async with turns.turn(1, _ignore):
                raise CannotJoinError("timeout", may_retry=True)
        with pytest.raises(CannotJoinError):
            async with turns.turn(1, _ignore):
                raise CannotJoinError("forbidden")
    assert await under_way(5) == 1
    assert await under_way(5) == 4


async def test_other_messages_leave_room_for_fewer_joins() -> None:
    turns, told = JoinTurns(joins=2, window_seconds=LONG), list[JoinWaits]()
    turns.count()
    turns.count()
    waiting = asyncio.ensure_future(turns.turn(1, told.append).__aenter__())
    await until(lambda: told)
    waiting.cancel()
    assert told == [JoinWaits(waiting=True)]


async def test_one_who_stops_waiting_takes_no_turn() -> None:
    turns, came, done = JoinTurns(at_once=1), list[int](), asyncio.Event()
    leaves = asyncio.Event()

    async def first() -> None:
        async with turns.turn(1, _ignore):
            came.append(1)
            await leaves.wait()
        given.cancel()  # its turn was given, and it has not run since

    begun = asyncio.ensure_future(first())
    await until(lambda: came)
    gone, given, stays = (asyncio.ensure_future(_hold(turns, number, came, done)) for number in (9, 8, 7))
    await asyncio.wait({gone}, timeout=0)
    gone.cancel()
    await asyncio.wait({gone})
    leaves.set()
    done.set()
    await asyncio.wait({begun, given, stays}, timeout=patience(10))
    assert given.cancelled()
    assert came == [1, 7]
