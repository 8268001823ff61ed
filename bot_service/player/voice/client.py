"""discord.py's voice connection with its end made observable. Only here and in `udp_reader` are its private parts used.

discord.py by itself reconnects without limit, with pauses during which packets are lost. Here it never reconnects
(`connect` must be called with reconnect=False): the end of a connection is reported once, with the close code if there
was one, and its owner opens the next. discord.py still follows a move to another voice server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import discord

from bot_service.player.voice.paced import PacedVoiceClient
from bot_service.player.voice.udp_reader import read_by_polling

if TYPE_CHECKING:
    from discord.types.voice import GuildVoiceState

# Voice close event codes "voice server crashed" and "call terminated".
_CRASHED, _CALL_TERMINATED = 4015, 4022


class WatchedVoiceClient(PacedVoiceClient):
    """One voice connection; not reusable.

    Attributes:
        on_end: called on the event loop, once, when the connection has ended for any reason.
        removed: Discord reported that the bot is in no channel although it had not left.
        over: the connection has ended.
    """

    def __init__(self, client: discord.Client, channel: discord.abc.Connectable) -> None:
        read_by_polling()
        super().__init__(client, channel)
        self.on_end: Callable[[], None] | None = None
        self.removed = False
        self.over = False
        self._leaving = False

    async def on_voice_state_update(self, data: GuildVoiceState) -> None:
        """See `discord.VoiceProtocol`."""
        # Null when the bot left; discord.py's type does not say so.
        if cast("object", data["channel_id"]) is None and not self._leaving:
            self.removed = True
        await super().on_voice_state_update(data)

    async def leave(self) -> None:
        """Leave the channel; wait for Discord's confirmation or the connection's time-out."""
        self._leaving = True
        await self.disconnect(force=True)

    def cleanup(self) -> None:
        """See `discord.VoiceProtocol`: called by discord.py when the connection has ended."""
        super().cleanup()
        if self.over:
            return
        self.over = True
        if (runner := self._runner()) is not None:
            # Retrieve the error that ended the connection, or asyncio logs it as never retrieved.
            runner.add_done_callback(lambda task: task.cancelled() or task.exception())
        if self.on_end is not None:
            self.on_end()

    @property
    def close_code(self) -> int | None:
        """Close code of the voice WebSocket; None while it is open or if it never was."""
        socket = self._socket()
        if socket is None or socket.close_code is None:
            return None
        code = int(socket.close_code)
        # discord.py closes its own side late after 4014 and 4022: it waits for another voice server, which after 4022
        # does not come.
        return code if socket.closed or code == _CALL_TERMINATED else None

    @property
    def dead(self) -> bool:
        """Whether the voice WebSocket is closed and discord.py will not recover it.

        `is_connected` stays true until another voice server is announced; and discord.py's resume after 4015 waits for
        an announcement that is never sent.
        """
        code = self.close_code
        return code is not None and (self.is_connected() or code == _CRASHED)

    def stop_runner(self) -> None:
        """Cancel discord.py's own connection task."""
        if (runner := self._runner()) is not None:
            runner.cancel()

    def _runner(self) -> asyncio.Task[None] | None:
        connection = cast("Any", self._connection)
        return connection._runner  # noqa: SLF001 - no public attribute

    def _socket(self) -> Any | None:  # noqa: ANN401 - aiohttp's, which is no dependency of this project
        # MISSING (falsy) before the first connection.
        return cast("Any", self.ws).ws if self.ws else None
