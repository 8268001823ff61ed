"""Progress of open requests, best effort: live events only; events that arrive during a running call are dropped."""

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

_GRACE_SECONDS = 5.0

Call = Callable[[PendingRequest, ProgressEvent], Awaitable[None]]


class ProgressFollower:
    """Passes progress events to two callbacks, each with at most one running call per request.

    `show` gets the events before the song is playable. `playable` gets the first event that says so, concurrently with
    a running `show`; a call that raised is repeated with the next such event. After it succeeded no event is passed on.

    A request that joined another's download follows that one's progress: events carry the video id, and the first event
    of a request tells its video.
    """

    def __init__(self, requests: OpenRequests, show: Call, playable: Call, tasks: asyncio.TaskGroup) -> None:
        self._requests = requests
        self._show = show
        self._playable = playable
        self._tasks = tasks
        self._followers: defaultdict[str, set[str]] = defaultdict(set)
        self._show_calls: dict[str, asyncio.Task[None]] = {}
        self._playable_calls: dict[str, asyncio.Task[None]] = {}
        self._announced = set[str]()
        self._stopped = set[str]()

    def receive(self, body: bytes) -> None:
        """Handle one message of the progress topic."""
        try:
            event = parse(ProgressEvent, body)
        except InvalidMessage:
            return  # progress is best effort
        for request_id in self._followers_of(event):
            request = self._open(request_id)
            if request is None or request_id in self._announced:
                continue
            own = event.model_copy(update={"request_id": request_id})
            if not event.playable:
                self._start(self._show_calls, request, own, self._call_show)
            else:
                self._start(self._playable_calls, request, own, self._call_playable)

    async def stop_following(self, request_id: str) -> None:
        """Start no more calls for a request, and wait for its running ones; cancel them after 5 s."""
        self._stopped = {one for one in self._stopped if self._requests.get(one) is not None} | {request_id}
        for video_id, followers in list(self._followers.items()):
            followers.discard(request_id)
            if not followers:
                del self._followers[video_id]
        calls = (self._show_calls, self._playable_calls)
        running = {task for tasks in calls if (task := tasks.get(request_id)) is not None}
        if running:
            _, late = await asyncio.wait(running, timeout=_GRACE_SECONDS)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)
        self._announced.discard(request_id)

    def _start(
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

    def _followers_of(self, event: ProgressEvent) -> set[str]:
        ours = self._open(event.request_id) is not None
        if ours and event.video_id:
            self._followers[event.video_id].add(event.request_id)
        followers = self._followers.get(event.video_id, set[str]())
        return {event.request_id, *followers} if ours else set(followers)

    def _open(self, request_id: str) -> PendingRequest | None:
        """Return the request if it is open and not being completed."""
        return self._requests.get(request_id) if request_id not in self._stopped else None

    async def _call_show(self, request: PendingRequest, event: ProgressEvent) -> None:
        try:
            await self._show(request, event)
        except Exception:
            log.exception("progress.not_shown", request_id=request.request_id)

    async def _call_playable(self, request: PendingRequest, event: ProgressEvent) -> None:
        try:
            await self._playable(request, event)
        except Exception:
            log.exception("progress.not_announced", request_id=request.request_id)
        else:
            self._announced.add(request.request_id)
