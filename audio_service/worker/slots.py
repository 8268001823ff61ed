"""The job slots of a process, and each user's share of them.

A user alone may have all slots. While other users wait, the slots are shared: a user who has none gets the one of the
youngest job of the user who has most, if that has more than one. Requests are read in order, so those of other users
may be far behind: while one user has had all slots for a moment, the worker looks on for them (see `Worker`).
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from datetime import timedelta

from audio_service.worker.pipeline import Interruption
from common.tasks import time_limit

_SETTLED_SECONDS = 1.0
"""Jobs younger than this end soon, as most do: nothing is done for the users that wait for them."""


@dataclass(slots=True, eq=False)
class Slot:
    """A slot that is taken. `user` "": the job counts towards no user."""

    user: str
    since: float = field(default_factory=time.monotonic)
    interruption: Interruption = field(default_factory=Interruption)
    is_leaving: bool = False


class Slots:
    """`count` slots over all pipelines of the process."""

    def __init__(self, count: int) -> None:
        self._free = asyncio.Semaphore(count)
        self._count = count
        self._taken: list[Slot] = []

    async def take(self, user: str, patience: timedelta) -> Slot | None:
        """Take a slot; None when none is free for as long as `patience`."""
        try:
            async with time_limit(patience.total_seconds()):
                await self._free.acquire()
        except TimeoutError:
            return None
        slot = Slot(user)
        self._taken.append(slot)
        return slot

    def give_back(self, slot: Slot) -> None:
        """Make the slot free."""
        self._taken.remove(slot)
        self._free.release()

    def has_share(self, user: str) -> bool:
        """Whether no slot is free and the user has one."""
        return self._all_taken and bool(user) and any(slot.user == user for slot in self._taken)

    def make_room(self, user: str) -> None:
        """Have the youngest job of the user with most slots handed back, for a user who has none."""
        leaving = any(slot.is_leaving for slot in self._taken)
        if not user or not self._all_taken or leaving or self.has_share(user):
            return
        counted = [slot.user for slot in self._taken if slot.user]
        most = max(counted, key=counted.count, default="")
        if counted.count(most) > 1:
            youngest = max((slot for slot in self._taken if slot.user == most), key=lambda slot: slot.since)
            youngest.is_leaving = True
            youngest.interruption.hand_back("user_share")

    async def free_or_crowded(self) -> None:
        """Wait until a slot is free, or one user has had all of them for a moment."""
        while self._all_taken and (seconds := self._crowded_in()) != 0:
            try:
                async with time_limit(seconds):
                    await self._free.acquire()
            except TimeoutError:
                continue
            self._free.release()
            return

    @property
    def _all_taken(self) -> bool:
        return len(self._taken) >= self._count

    def _crowded_in(self) -> float | None:
        """Return the seconds until one user has had all slots for a moment; None: several have them."""
        users = {slot.user for slot in self._taken}
        if len(users) != 1 or "" in users:
            return None
        youngest = max(slot.since for slot in self._taken)
        return max(0.0, youngest + _SETTLED_SECONDS - time.monotonic())
