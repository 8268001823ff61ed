"""Waits for UDP of a voice server by poll(2), in place of discord.py's reader thread, which waits by select(2).

select(2) takes no descriptor from 1024 on (FD_SETSIZE, its manual page). A voice connection has two, so that from some
490 connections on discord.py never saw the answer of IP discovery: each further join timed out, and its thread used a
whole core to try again. A socket that was replaced was waited for up to 30 s more; here it is one second.
"""

from __future__ import annotations

import select
from typing import Any, cast

from discord import voice_state

_WAIT_MS = 1000
_WITHOUT_SOCKET_SECONDS = 0.05


class PollingReader(voice_state.SocketReader):
    """discord.py's reader with another way to wait. Ends as that does: by `stop`."""

    def _do_run(self) -> None:
        state = cast("Any", self.state)
        while not self._end.is_set():
            if not self._running.is_set():
                self._running.wait()
                continue
            try:
                poll = select.poll()
                poll.register(state.socket, select.POLLIN)
                data = state.socket.recv(2048) if poll.poll(_WAIT_MS) else b""
            except (ValueError, TypeError, OSError):
                # It is closed, or not made yet.
                self._end.wait(_WITHOUT_SOCKET_SECONDS)
                continue
            if data:
                for callback in list(self._callbacks):
                    callback(data)


def read_by_polling() -> None:
    """Make discord.py's next voice connections use PollingReader: they take the class from their module."""
    setattr(voice_state, "SocketReader", PollingReader)  # noqa: B010 - a class of the library cannot be assigned to
