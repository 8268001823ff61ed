"""Who listens to a chat in this process, and what changed in it. In memory, synchronous; knows no protocol."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Protocol

from audio_service.assets.model import Asset
from audio_service.assets.views import update_text
from common.errors import RateLimited
from common.http.connections import listener_limit

MAX_WAITING = 128
"""Updates that a listener may be behind; one that reads more slowly is cut, and reads the present state again."""
_RETRY_SECONDS = 5


class Update:
    """An asset's present state, and its text for each address that listeners used: it is encoded once for all."""

    __slots__ = ("_texts", "asset")

    def __init__(self, asset: Asset) -> None:
        self.asset = asset
        self._texts: dict[str, str] = {}

    def text(self, base: str) -> str:
        """Return the message as JSON. `base`: what addresses begin with."""
        text = self._texts.get(base)
        if text is None:
            text = self._texts[base] = update_text(self.asset, base)
        return text


class Hearer(Protocol):
    """What is told of updates."""

    def add(self, update: Update) -> None:
        """Take an update. Does not wait."""
        ...

    def end(self) -> None:
        """There will be no more. Idempotent."""
        ...


class Listener:
    """One connection's waiting updates, for a task that sends them. `on_end` is called once, when there are no more.

    Attributes:
        slow: it was cut because it was MAX_WAITING updates behind.
        gone: its client has disconnected.
    """

    __slots__ = ("_changed", "_waiting", "ended", "gone", "on_end", "slow")

    def __init__(self) -> None:
        self.slow = False
        self.gone = False
        self.ended = False
        self.on_end: Callable[[], None] | None = None
        self._waiting: list[Update] = []
        self._changed = asyncio.Event()

    def add(self, update: Update) -> None:
        """Add an update, or end the listener that is too far behind."""
        if self.ended:
            return
        if len(self._waiting) >= MAX_WAITING:
            self.slow = True
            self.end()
            return
        self._waiting.append(update)
        self._changed.set()

    async def take(self) -> list[Update]:
        """Wait for updates, and return all of them; none: it has ended."""
        while not self._waiting and not self.ended:
            self._changed.clear()
            await self._changed.wait()
        return self.drain()

    def drain(self) -> list[Update]:
        """Return what is waiting."""
        taken, self._waiting = self._waiting, []
        return taken

    def drop_older(self, shown: Mapping[str, datetime]) -> None:
        """Drop waiting updates that are older than the state that is shown already."""
        self._waiting = [update for update in self._waiting if _is_news(update.asset, shown)]

    def end(self) -> None:
        """End it. Idempotent."""
        if self.ended:
            return
        self.ended = True
        self._waiting.clear()
        self._changed.set()
        if self.on_end is not None:
            self.on_end()


class Hub:
    """The listeners of all chats of this process, at most `limit`."""

    def __init__(self, limit: int | None = None) -> None:
        self._limit = listener_limit() if limit is None else limit
        self._listeners: dict[str, set[Hearer]] = {}
        self._count = 0
        self._closed = False

    def __len__(self) -> int:
        """How many listeners there are."""
        return self._count

    @property
    def chats(self) -> Iterable[str]:
        """The chats that are listened to."""
        return tuple(self._listeners)

    def is_listened(self, chat_id: str) -> bool:
        """Whether there is a listener of this chat."""
        return chat_id in self._listeners

    @contextmanager
    def listen(self, chat_id: str) -> Generator[Listener]:
        """Listen until the context is left.

        Raises:
            RateLimited: there are too many listeners, or the process is stopping.
        """
        listener = Listener()
        self.join(chat_id, listener)
        try:
            yield listener
        finally:
            listener.on_end = None
            self.leave(chat_id, listener)

    def join(self, chat_id: str, hearer: Hearer) -> None:
        """Tell `hearer` of a chat's updates until it leaves. Raises RateLimited, as `listen`."""
        if self._closed or self._count >= self._limit:
            raise RateLimited("too many listeners", retry_after_seconds=_RETRY_SECONDS)
        self._listeners.setdefault(chat_id, set()).add(hearer)
        self._count += 1

    def leave(self, chat_id: str, hearer: Hearer) -> None:
        """Tell it no more. Once for each that joined."""
        self._count -= 1
        others = self._listeners[chat_id]
        others.discard(hearer)
        if not others:
            del self._listeners[chat_id]

    def publish(self, asset: Asset) -> None:
        """Give an asset's state to the listeners of its chat."""
        update = Update(asset)
        for listener in tuple(self._listeners.get(asset.chat_id, ())):
            listener.add(update)

    def close(self) -> None:
        """End all listeners, and admit no more."""
        self._closed = True
        for listeners in tuple(self._listeners.values()):
            for listener in tuple(listeners):
                listener.end()


def _is_news(asset: Asset, shown: Mapping[str, datetime]) -> bool:
    before = shown.get(asset.asset_id)
    return before is None or asset.updated_at > before
