"""Waiting for what a bot does: conditions that are looked at again whenever something happened. Nothing is polled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from tests.waiting import patience

_Found = TypeVar("_Found")


class NotSeen(AssertionError):
    """What a test waited for did not happen in time. The text says what was seen instead."""


class NotOffered(AssertionError):
    """Discord would not let this person do that: no such command, option or button, or no right to it."""


class Bell:
    """Rings when something happened. Belongs to one event loop.

    Args:
        patience: seconds a test waits for a thing before it fails.
    """

    def __init__(self, patience: float) -> None:
        self.patience = patience
        self._waiting: set[asyncio.Future[None]] = set()

    def ring(self) -> None:
        """Let everybody who waits look again."""
        waiting, self._waiting = self._waiting, set()
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def until(self, look: Callable[[], _Found | None], what: Callable[[], str]) -> _Found:
        """Return what `look` returns as soon as that is neither None nor False.

        Raises:
            NotSeen: it never was; `what` then tells what was waited for, and what there is.
        """
        limit = patience(self.patience)
        try:
            async with asyncio.timeout(limit):
                while True:
                    found = look()
                    if found is not None and found is not False:
                        return found
                    future = asyncio.get_running_loop().create_future()
                    self._waiting.add(future)
                    await future
        except TimeoutError:
            raise NotSeen(f"not within {limit:.0f} s: {what()}") from None
