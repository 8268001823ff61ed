"""Requests that wait for their answer: stored before they are published, followed until they end, over restarts too.

Statuses are read under a group of this instance, so that what is published while it restarts still arrives; progress is
read from now on only. A request ends once: with its status, or when it has waited for REQUEST_TIMEOUT_SECONDS. This
module says nothing to anybody: that is the handler's part.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from bot_service.settings import BotSettings
from bot_service.store.base import GuildStore, PendingRequest
from common.broker.base import Broker
from common.errors import BrokerError
from common.messages import DownloadRequest, ProgressEvent, StatusEvent


@dataclass(frozen=True, slots=True)
class Handler:
    """What is done about what happened to requests. The three may run for several requests at once.

    `finished` and `timed_out` are terminal: one of them is called, once, for each request. One that raises is called
    again a few times. A process that dies inside one calls it again after its restart, so their effects bear repeating.
    `progress` is best effort: what comes while an earlier call for the same request still runs is left out.
    """

    finished: Callable[[PendingRequest, StatusEvent], Awaitable[None]]
    progress: Callable[[PendingRequest, ProgressEvent], Awaitable[None]]
    timed_out: Callable[[PendingRequest], Awaitable[None]]


class Pending:
    """Opens requests, and tells a handler how they go."""

    def __init__(self, store: GuildStore, broker: Broker, settings: BotSettings) -> None:
        self._store = store
        self._broker = broker
        self._settings = settings

    async def open(self, asked: PendingRequest, request: DownloadRequest) -> None:
        """Store a request, then publish it; a request that could not be published is stored no more.

        Its end may come before this returns: whoever shows it has prepared that before.

        Raises:
            BrokerError: the broker does not take it; the code says why.
            DatabaseUnavailable: it could not be stored, and was not published.
        """
        raise NotImplementedError

    async def open_all(self, pairs: Sequence[tuple[PendingRequest, DownloadRequest]]) -> Mapping[str, BrokerError]:
        """Open many requests. Returns those that were refused: request id → why.

        Raises:
            DatabaseUnavailable: none was published.
        """
        raise NotImplementedError

    async def run(self, stop: asyncio.Event, handler: Handler) -> None:
        """Follow all open requests until `stop`; what is in the handler's hands is finished then.

        A broker or a store that is away is waited for.
        """
        raise NotImplementedError
