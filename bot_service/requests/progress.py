"""Progress of open requests, best effort: from now on only, and what comes too fast is left out."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from bot_service.requests.open_requests import OpenRequests
from bot_service.store.base import PendingRequest
from common.errors import InvalidMessage
from common.messages.base import parse
from common.messages.downloads import ProgressEvent
from common.observability.telemetry import get_logger

log = get_logger(__name__)

_LAST_CALL_SECONDS = 5.0

Call = Callable[[PendingRequest, ProgressEvent], Awaitable[None]]


class ProgressFollower:
    """Tells `show` how open requests go: one call at a time for each, others are left out meanwhile. That a song can be
    heard is told to `playable`, beside whatever is being shown, until one call for that request has succeeded; an event
    that says so is not shown, nor is any that comes afterwards.

    A request that joined another's download is told of that one's progress: events name the video, and the first that
    comes for a request says which video is its own.
    """

    def __init__(self, requests: OpenRequests, show: Call, playable: Call, tasks: asyncio.TaskGroup) -> None:
        self._requests = requests
        self._show = show
        self._playable = playable
        self._tasks = tasks
        self._followers: defaultdict[str, set[str]] = defaultdict(set)
        self._showing: dict[str, asyncio.Task[None]] = {}
        self._announcing: dict[str, asyncio.Task[None]] = {}
        self._announced = set[str]()
        self._ended = set[str]()

    def hear(self, body: bytes) -> None:
        """Take one message of the progress topic."""
        try:
            event = parse(ProgressEvent, body)
        except InvalidMessage:
            return  # somebody else's to complain about
        for request_id in self._concerned(event):
            request = self._open(request_id)
            if request is None or request_id in self._announced:
                continue
            own = event.model_copy(update={"request_id": request_id})
            if not event.playable:
                self._begin(self._showing, request, own, self._show_one)
            else:
                self._begin(self._announcing, request, own, self._announce)

    async def end(self, request_id: str) -> None:
        """Let the running calls for a request end, and begin no other: nothing is told of it after its end. They have a
        few seconds.
        """
        self._ended = {one for one in self._ended if self._requests.get(one) is not None} | {request_id}
        for video_id, followers in list(self._followers.items()):
            followers.discard(request_id)
            if not followers:
                del self._followers[video_id]
        running = {task for calls in (self._showing, self._announcing) if (task := calls.get(request_id)) is not None}
        if running:
            _, late = await asyncio.wait(running, timeout=_LAST_CALL_SECONDS)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)
        self._announced.discard(request_id)

    def _begin(
        self,
        calls: dict[str, asyncio.Task[None]],
        request: PendingRequest,
        event: ProgressEvent,
        call: Callable[[PendingRequest, ProgressEvent], Coroutine[Any, Any, None]],
    ) -> None:
        if request.request_id in calls:
            return
        task = calls[request.request_id] = self._tasks.create_task(call(request, event))
        task.add_done_callback(lambda _: calls.pop(request.request_id))

    def _concerned(self, event: ProgressEvent) -> set[str]:
        ours = self._open(event.request_id) is not None
        if ours and event.video_id:
            self._followers[event.video_id].add(event.request_id)
        followers = self._followers.get(event.video_id, set[str]())
        return {event.request_id, *followers} if ours else set(followers)

    def _open(self, request_id: str) -> PendingRequest | None:
        """Return the request, if it is open and nobody tells its end."""
        return self._requests.get(request_id) if request_id not in self._ended else None

    async def _show_one(self, request: PendingRequest, event: ProgressEvent) -> None:
        try:
            await self._show(request, event)
        except Exception:
            log.exception("progress.not_shown", request_id=request.request_id)

    async def _announce(self, request: PendingRequest, event: ProgressEvent) -> None:
        try:
            await self._playable(request, event)
        except Exception:
            log.exception("progress.not_announced", request_id=request.request_id)
        else:
            self._announced.add(request.request_id)
