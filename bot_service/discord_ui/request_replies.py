"""Replies to commands whose songs are downloaded: edited with progress, and with the completion of their request.

An unfinished song counts as arrived once it can be played; its completion is then shown only if it failed. The songs
of a playlist are counted at their completion.

Progress edits of one reply are at least 1.5 s apart (Discord allows five per five seconds and channel). The completion
is always shown.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from bot_service.discord_ui.followups import Followups
from bot_service.discord_ui.replies import requests as words
from bot_service.player.rules.model import Entry
from bot_service.requests.completion import RequestHandler
from bot_service.requests.entries import TIMED_OUT, RequestEntries
from bot_service.requests.play import PlaylistId
from bot_service.store.base import GuildStore, PendingRequest
from common.messages.downloads import ProgressEvent, StatusEvent

EDIT_SECONDS = 1.5
_MAX_REPLIES = 1000
# Playback failed because the record says so: the status with the cause is on its way.
_CAUSE_FOLLOWS = frozenset({"media_not_found", "blob_not_found"})


@dataclass(slots=True)
class _ReplyState:
    """A reply that is being edited. The lock keeps a progress edit from overtaking the completion.

    `arrived`: it shows that the unfinished song plays or is queued. `failure_told`: the player's notice told of a
    failed playback.
    """

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    last_edit: float = float("-inf")
    arrived: bool = False
    failure_told: bool = False
    completed: set[str] = field(default_factory=set[str])
    counts: words.PlaylistCounts = field(default_factory=words.PlaylistCounts)

    def is_due(self) -> bool:
        return time.monotonic() - self.last_edit >= EDIT_SECONDS


class RequestReplies:
    """The handler of `Pending`: `entries` changes the players, this edits the replies."""

    def __init__(self, store: GuildStore, entries: RequestEntries, followups: Followups) -> None:
        self._store = store
        self._entries = entries
        self._followups = followups
        self._replies: dict[str, _ReplyState] = {}

    @property
    def handler(self) -> RequestHandler:
        """The callbacks for `Pending.run`."""
        return RequestHandler(self.finished, self.progress, self.timed_out, self.playable, self.withdrawn)

    async def playable(self, request: PendingRequest, event: ProgressEvent) -> None:
        """Make the entry playable with its unfinished track, and say so.

        Raises:
            InvalidMessage: the event lacks the song's metadata or file.
        """
        ready = await self._entries.make_playable(request, event)
        if ready.arrived is None:
            return
        reply = self._reply(request.request_id)
        if request.playlist_id is None:
            async with reply.lock:
                await self._followups.edit_or_send(request, words.describe_arrival(ready, request.locale))
        reply.arrived = True

    async def finished(self, request: PendingRequest, status: StatusEvent) -> None:
        """Give the entry its finished track, or drop it; say so."""
        if not status.success:
            await self._fail(request, status.error_code or "internal_error")
            return
        ready = await self._entries.finish(request, status)
        await self._complete(
            request, "" if self._has_arrived(request) else words.describe_arrival(ready, request.locale)
        )

    async def timed_out(self, request: PendingRequest) -> None:
        """Drop the entry and say that there was no response. An entry whose unfinished song can be played stays: if
        its end never comes, the playback fails and the player's notice tells of it.
        """
        if self._has_arrived(request):
            self._entries.keep_unfinished()
            await self._complete(request, "")
        else:
            await self._fail(request, TIMED_OUT)

    async def withdrawn(self, request: PendingRequest) -> None:
        """Say that the download was cancelled, unless the reply says already that the song plays or is queued."""
        title = self._entries.withdraw(request)
        content = "" if self._has_arrived(request) else words.describe_withdrawal(title, request.locale)
        await self._complete(request, content, failed=True)

    async def progress(self, request: PendingRequest, event: ProgressEvent) -> None:
        """Show the progress of a single song; no-op within 1.5 s of the last edit."""
        if request.playlist_id is not None:
            return
        reply = self._reply(request.request_id)
        if reply.lock.locked() or not reply.is_due():
            return
        async with reply.lock:
            reply.last_edit = time.monotonic()
            title = self._entries.title(request)
            await self._followups.edit(request, words.describe_progress(title, event, request.locale))

    def will_tell_failure(self, entry: Entry, code: str) -> bool:
        """Return whether a failed playback needs no notice: its request is open, and its failure will be shown.

        Call it once per failed playback. After False the caller sends a notice, and the completion is not shown.
        """
        reply = self._replies.get(entry.entry_id)
        if reply is None or not reply.arrived:
            return False
        reply.failure_told = code not in _CAUSE_FOLLOWS
        return not reply.failure_told

    async def _fail(self, request: PendingRequest, code: str) -> None:
        title = await self._entries.drop(request, code)
        await self._complete(request, words.describe_failure(title, code, request.locale), failed=True)

    def _has_arrived(self, request: PendingRequest) -> bool:
        reply = self._replies.get(request.request_id)
        return reply is not None and reply.arrived

    async def _complete(self, request: PendingRequest, content: str, *, failed: bool = False) -> None:
        """Show the completion of a request; without content the reply stays as it is."""
        if request.playlist_id is not None:
            await self._count(request, PlaylistId.parse(request.playlist_id), content if failed else "")
        else:
            reply = self._reply(request.request_id)
            async with reply.lock:
                if content and not reply.failure_told:
                    await self._followups.edit_or_send(request, content)
        self._replies.pop(request.request_id, None)

    async def _count(self, request: PendingRequest, playlist: PlaylistId, failure: str) -> None:
        """Count one song of a playlist. The last one is always shown, those before it when an edit is due."""
        if playlist.name not in self._replies:
            ready = playlist.count - await self._still_open(request)
            self._reply(playlist.name).counts.ready += max(ready, 0)
        reply = self._reply(playlist.name)
        if request.request_id in reply.completed:
            return
        reply.completed.add(request.request_id)
        reply.counts.add(failure)
        is_last = reply.counts.completed >= playlist.count
        if not is_last and (reply.lock.locked() or not reply.is_due()):
            return
        async with reply.lock:
            reply.last_edit = time.monotonic()
            content = words.describe_playlist(reply.counts, playlist, request.locale)
            await (self._followups.edit_or_send if is_last else self._followups.edit)(request, content)
        if is_last:
            self._replies.pop(playlist.name, None)

    async def _still_open(self, request: PendingRequest) -> int:
        """Count the playlist's open requests, this one included: after a restart some are completed already."""
        return sum(other.playlist_id == request.playlist_id for other in await self._store.open_requests())

    def _reply(self, name: str) -> _ReplyState:
        if name not in self._replies and len(self._replies) >= _MAX_REPLIES:
            self._replies.pop(next(iter(self._replies)))
        return self._replies.setdefault(name, _ReplyState())
