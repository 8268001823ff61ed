"""All guilds' players: created on first use, run in one TaskGroup, positions saved in one write."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Self

from bot_service.player.guild_player import GuildPlayer, OpenVoice, PlayerDisplay
from bot_service.player.rules.events import Restore, Stop
from bot_service.player.rules.outcomes import PlayerRefusal, RefusalCode
from bot_service.player.rules.state import PlayerLimits
from bot_service.store.base import GuildStore
from common.errors import AppError
from common.observability.telemetry import get_logger

log = get_logger(__name__)


class Players:
    """Use as `async with Players(...) as players`; leaving the block saves and closes every player.

    `resume_after_restart` False: `restore` deletes all saved players instead of resuming them.
    """

    def __init__(
        self,
        *,
        limits: PlayerLimits,
        open_voice: OpenVoice,
        store: GuildStore,
        display: PlayerDisplay,
        resume_after_restart: bool = True,
    ) -> None:
        self._limits = limits
        self._open_voice = open_voice
        self._store = store
        self._display = display
        self._resume = resume_after_restart
        self._players: dict[int, GuildPlayer] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._group = asyncio.TaskGroup()
        self._saving: asyncio.Task[None] | None = None
        self._closed = False

    async def __aenter__(self) -> Self:
        """Start saving positions."""
        await self._group.__aenter__()
        self._saving = self._group.create_task(self._save_positions())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close every player."""
        await self.close()
        await self._group.__aexit__(kind, error, trace)

    def get(self, guild_id: int) -> GuildPlayer | None:
        """Return the guild's player if there is one."""
        return self._players.get(guild_id)

    def all(self) -> list[GuildPlayer]:
        """Return all players."""
        return list(self._players.values())

    def of(self, guild_id: int) -> GuildPlayer:
        """Return the guild's player; create it on first use.

        Raises:
            PlayerRefusal: the bot is shutting down.
        """
        player = self._players.get(guild_id)
        if player is None:
            if self._closed:
                raise PlayerRefusal(RefusalCode.SHUTTING_DOWN)
            player = GuildPlayer(
                guild_id, limits=self._limits, open_voice=self._open_voice, store=self._store, display=self._display
            )
            self._players[guild_id] = player
            task = self._group.create_task(player.run(), name=f"player {guild_id}")
            task.add_done_callback(lambda _task, player=player: player.shut())
            self._tasks[guild_id] = task
        return player

    async def restore(self) -> int:
        """Resume saved players, except where the guild's or the bot's settings forbid it; return their number.

        Raises:
            DatabaseUnavailable: the saved players could not be read.
        """
        count = 0
        for saved in await self._store.load_players():
            rules = await self._store.settings(saved.guild_id)
            if self._resume and rules.resume_after_restart:
                self.of(saved.guild_id).tell(Restore(saved, rules))
                count += 1
            else:
                await self._store.forget_player(saved.guild_id)
        return count

    async def drop(self, guild_id: int) -> None:
        """Stop and delete the player of a guild that the bot has left."""
        player = self._players.get(guild_id)
        if player is not None:
            with suppress(PlayerRefusal):  # nothing to stop
                await player.ask(Stop())
            del self._players[guild_id]
            await _ended(self._tasks.pop(guild_id))
        await self._store.forget_player(guild_id)

    async def close(self) -> None:
        """Save and end every player."""
        self._closed = True
        tasks = [*self._tasks.values(), *([self._saving] if self._saving is not None else [])]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self._tasks.clear()

    async def _save_positions(self) -> None:
        noted: dict[int, int] = {}
        failing = False
        while True:
            await asyncio.sleep(self._store.position_seconds)
            positions = {
                player.guild_id: frame
                for player in self._players.values()
                if (frame := player.saved_position) is not None
            }
            if positions == noted or not positions:
                continue
            try:
                await self._store.save_positions(positions)
            except AppError as exc:
                if not failing:
                    log.warning("players.positions_not_saved", code=exc.code, detail=exc.detail)
                failing = True
                continue
            noted, failing = positions, False


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task})
