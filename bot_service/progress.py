"""Progress of open requests, best effort: from now on only, and what comes too fast is left out."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable

from bot_service.open_requests import OpenRequests
from bot_service.store.base import PendingRequest
from common.errors import InvalidMessage
from common.messages import ProgressEvent, parse
from common.telemetry import get_logger

log = get_logger(__name__)

_LAST_CALL_SECONDS = 5.0


class ProgressFollower:
    """Tells `show` how open requests go: one call at a time for each, others are left out meanwhile.

    A request that joined another's download is told of that one's progress: events name the video, and the first that
    comes for a request says which video is its own.
    """

    def __init__(
        self,
        requests: OpenRequests,
        show: Callable[[PendingRequest, ProgressEvent], Awaitable[None]],
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._requests = requests
        self._show = show
        self._tasks = tasks
        self._followers: defaultdict[str, set[str]] = defaultdict(set)
        self._showing: dict[str, asyncio.Task[None]] = {}

    def hear(self, body: bytes) -> None:
        """Take one message of the progress topic."""
        try:
            event = parse(ProgressEvent, body)
        except InvalidMessage:
            return  # somebody else's to complain about
        for request_id in self._concerned(event):
            request = self._requests.get(request_id)
            if request is not None and request_id not in self._showing:
                event = event.model_copy(update={"request_id": request_id})
                self._showing[request_id] = self._tasks.create_task(self._show_one(request, event))

    async def end(self, request_id: str) -> None:
        """Let the running call for a request end, so that nothing is shown after its end. It has a few seconds."""
        for video_id, followers in list(self._followers.items()):
            followers.discard(request_id)
            if not followers:
                del self._followers[video_id]
        if (showing := self._showing.get(request_id)) is not None:
            _, late = await asyncio.wait({showing}, timeout=_LAST_CALL_SECONDS)
            for task in late:
                task.cancel()

    def _concerned(self, event: ProgressEvent) -> set[str]:
        ours = self._requests.get(event.request_id) is not None
        if ours and event.video_id:
            self._followers[event.video_id].add(event.request_id)
        followers = self._followers.get(event.video_id, set[str]())
        return {event.request_id, *followers} if ours else set(followers)

    async def _show_one(self, request: PendingRequest, event: ProgressEvent) -> None:
        try:
            await self._show(request, event)
        except Exception:
            log.exception("progress.not_shown", request_id=request.request_id)
        finally:
            del self._showing[request.request_id]
