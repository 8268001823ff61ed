"""discord.py's voice connection with its ends made visible. The one place that looks into it deeper than its manual.

discord.py connects again by itself and for ever, with pauses in which packets go nowhere. Here it never does (`connect`
must be called with reconnect=False): every end is told once, with the close code where there was one, and whoever owns
the connection makes the next one. What discord.py still does itself is to follow a move to another voice server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import discord

from bot_service.player.voice.paced import PacedVoiceClient

if TYPE_CHECKING:
    from discord.types.voice import GuildVoiceState

# "The server crashed", of Discord's voice close event codes.
_CRASHED = 4015


class WatchedVoiceClient(PacedVoiceClient):
    """One voice connection, used once.

    Attributes:
        on_end: called on the event loop when the connection is over for good, however it came to that.
        removed: Discord said that the bot is in no channel, and the bot had not asked for it.
        over: `on_end` was called, or would have been.
    """

    def __init__(self, client: discord.Client, channel: discord.abc.Connectable) -> None:
        super().__init__(client, channel)
        self.on_end: Callable[[], None] | None = None
        self.removed = False
        self.over = False
        self._leaving = False

    async def on_voice_state_update(self, data: GuildVoiceState) -> None:
        """See `discord.VoiceProtocol`."""
        # discord.py's type of it says that it is never null.
        if cast("object", data["channel_id"]) is None and not self._leaving:
            self.removed = True
        await super().on_voice_state_update(data)

    async def leave(self) -> None:
        """Leave the channel and wait until Discord has confirmed it, or for the connection's time-out."""
        self._leaving = True
        await self.disconnect(force=True)

    def cleanup(self) -> None:
        """See `discord.VoiceProtocol`: discord.py calls it when it gives the connection up."""
        super().cleanup()
        if self.over:
            return
        self.over = True
        if (runner := self._runner()) is not None:
            # It ends with the error that ended the connection, which would be logged as if nobody had noticed.
            runner.add_done_callback(lambda task: task.cancelled() or task.exception())
        if self.on_end is not None:
            self.on_end()

    @property
    def close_code(self) -> int | None:
        """The code with which the voice WebSocket was closed; None while it is open or when it never was."""
        socket = self._socket()
        if socket is None or not socket.closed or socket.close_code is None:
            return None
        return int(socket.close_code)

    @property
    def dead(self) -> bool:
        """Whether the voice WebSocket is closed and discord.py takes no step that could help.

        It calls a connection connected until it has heard of another voice server; and its resume after 4015 waits for
        news that do not come.
        """
        code = self.close_code
        return code is not None and (self.is_connected() or code == _CRASHED)

    def stop_runner(self) -> None:
        """End discord.py's own attempts at this connection."""
        if (runner := self._runner()) is not None:
            runner.cancel()

    def _runner(self) -> asyncio.Task[None] | None:
        connection = cast("Any", self._connection)
        return connection._runner  # noqa: SLF001 - no public view of it

    def _socket(self) -> Any | None:  # noqa: ANN401 - aiohttp's, which this project does not depend on itself
        # MISSING, which is false, before the first connection.
        return cast("Any", self.ws).ws if self.ws else None
