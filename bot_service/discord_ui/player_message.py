"""One player message per guild, kept up to date; and the notices of the player, in the same channel.

Edited on changes and every PLAYER_UPDATE_SECONDS while a song is on, never twice within a second. Sent anew when it
was deleted, or, with a new song, when other messages have buried it. It survives a restart: its id is saved with the
player, and its buttons carry all they need in their ids.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import aiohttp
import discord

from bot_service.discord_ui.followups import LateReplies
from bot_service.discord_ui.replies import texts
from bot_service.discord_ui.replies.answer import NO_MENTIONS
from bot_service.discord_ui.replies.embeds import player_embed
from bot_service.discord_ui.replies.errors import explain_code, explain_voice
from bot_service.discord_ui.replies.escape import plain
from bot_service.discord_ui.views import player_view
from bot_service.player.guild_player import GuildPlayer
from bot_service.player.rules.events import MessageKept
from bot_service.player.rules.model import Phase
from bot_service.player.rules.outcomes import Notice, NoticeKind
from bot_service.player.snapshot import Snapshot
from common.errors import Locale
from common.observability.telemetry import get_logger

log = get_logger(__name__)

_GAP_SECONDS = 1.0
_FAILURES = (discord.DiscordException, aiohttp.ClientError, OSError, TimeoutError)


@dataclass(slots=True)
class _Panel:
    """What is known of one guild's message. `shown` is what it shows now, `song` the entry it was sent for."""

    changed: asyncio.Event = field(default_factory=asyncio.Event)
    notices: deque[tuple[Snapshot, Notice]] = field(default_factory=deque[tuple[Snapshot, Notice]])
    message_id: int | None = None
    channel_id: int | None = None
    song: str = ""
    shown: object = None


class Panels:
    """The stage that players show themselves on. `run` does the work; the other methods return at once."""

    def __init__(
        self,
        client: discord.Client,
        player_of: Callable[[int], GuildPlayer],
        *,
        update_seconds: float,
        locale: Locale,
    ) -> None:
        self._client = client
        self._player_of = player_of
        self._replies = LateReplies(client)
        self._update_seconds = update_seconds
        self._locale: Locale = locale
        self._panels: dict[int, _Panel] = {}
        self._latest: dict[int, int] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._running: list[asyncio.Task[None]] = []

    def refresh(self, snapshot: Snapshot) -> None:
        """Bring a guild's message up to date soon."""
        self._panel(snapshot.guild_id).changed.set()

    def notice(self, guild_id: int, notice: Notice) -> None:
        """Tell people in the guild's text channel soon."""
        panel = self._panel(guild_id)
        panel.notices.append((self._player_of(guild_id).snapshot, notice))
        panel.changed.set()

    def saw(self, channel_id: int, message_id: int) -> None:
        """Note that a channel has a message as new as this one."""
        self._latest[channel_id] = max(self._latest.get(channel_id, 0), message_id)

    async def run(self, stop: asyncio.Event) -> None:
        """Keep all messages up to date until `stop`."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            for guild_id, panel in self._panels.items():
                self._start(tasks, guild_id, panel)
            await stop.wait()
            self._tasks = None
            for task in self._running:
                task.cancel()

    def _start(self, tasks: asyncio.TaskGroup, guild_id: int, panel: _Panel) -> None:
        self._running.append(tasks.create_task(self._keep(guild_id, panel)))

    def _panel(self, guild_id: int) -> _Panel:
        panel = self._panels.get(guild_id)
        if panel is None:
            panel = self._panels[guild_id] = _Panel()
            if self._tasks is not None:
                self._start(self._tasks, guild_id, panel)
        return panel

    async def _keep(self, guild_id: int, panel: _Panel) -> None:
        while True:
            snapshot = self._player_of(guild_id).snapshot
            limit = self._update_seconds if snapshot.phase is Phase.PLAYING else None
            try:
                async with asyncio.timeout(limit):
                    await panel.changed.wait()
            except TimeoutError:
                pass
            panel.changed.clear()
            try:
                await self._say_notices(panel)
                await self._show(guild_id, panel)
            except _FAILURES as exc:
                log.warning("panel.failed", guild_id=guild_id, error=repr(exc))
            except Exception:
                # What one message shows wrongly must not end the music of all guilds.
                log.exception("panel.crashed", guild_id=guild_id)
            await asyncio.sleep(_GAP_SECONDS)

    async def _say_notices(self, panel: _Panel) -> None:
        while panel.notices:
            snapshot, notice = panel.notices.popleft()
            if snapshot.text_channel_id is None:
                continue
            locale = self._locale_of(snapshot)
            explain = explain_voice if notice.kind is NoticeKind.VOICE_FAILED else explain_code
            words = (
                texts.NOTICES[notice.kind]
                .to(locale)
                .format(
                    title=plain(notice.entry.title) if notice.entry is not None else "",
                    reason=explain(notice.code, locale),
                )
            )
            if sent := await self._replies.say(snapshot.text_channel_id, words):
                self.saw(snapshot.text_channel_id, sent)

    async def _show(self, guild_id: int, panel: _Panel) -> None:
        player = self._player_of(guild_id)
        snapshot = player.snapshot
        if panel.message_id is None:
            panel.message_id, panel.channel_id = snapshot.message_id, snapshot.text_channel_id
        if snapshot.current is None:
            await self._put_away(player, panel, snapshot)
            return
        channel_id = snapshot.text_channel_id
        if channel_id is None:
            return
        song = snapshot.current.entry_id
        buried = self._latest.get(channel_id, 0) > (panel.message_id or 0)
        moved = channel_id != panel.channel_id
        # After a restart the song is not new, although this process has not shown it yet.
        is_new = panel.song not in {"", song}
        if panel.message_id is not None and (moved or (is_new and buried and snapshot.rules.announce)):
            await self._delete(panel)
        if panel.message_id is None or not await self._edit(panel, snapshot):
            await self._send(channel_id, panel, snapshot)
            player.tell(MessageKept(panel.message_id))
        panel.song = song

    async def _put_away(self, player: GuildPlayer, panel: _Panel, snapshot: Snapshot) -> None:
        """Leave the message as a plain line when nothing is on; the next song gets a new one."""
        if panel.message_id is None:
            return
        message_id, channel_id = panel.message_id, panel.channel_id
        panel.message_id, panel.shown = None, None
        player.tell(MessageKept(None))
        if channel_id is not None:
            message = self._client.get_partial_messageable(channel_id).get_partial_message(message_id)
            await message.edit(
                embed=player_embed(snapshot, self._locale_of(snapshot)), view=None, allowed_mentions=NO_MENTIONS
            )

    async def _edit(self, panel: _Panel, snapshot: Snapshot) -> bool:
        """Bring the message up to date. False: it is gone."""
        embed = player_embed(snapshot, self._locale_of(snapshot))
        look = (embed.to_dict(), snapshot.phase is Phase.PAUSED)
        if look == panel.shown:
            return True
        if panel.message_id is None or panel.channel_id is None:
            return False
        message = self._client.get_partial_messageable(panel.channel_id).get_partial_message(panel.message_id)
        try:
            await message.edit(embed=embed, view=player_view(snapshot), allowed_mentions=NO_MENTIONS)
        except discord.NotFound:
            panel.message_id = None
            return False
        panel.shown = look
        return True

    async def _send(self, channel_id: int, panel: _Panel, snapshot: Snapshot) -> None:
        embed = player_embed(snapshot, self._locale_of(snapshot))
        channel = self._client.get_partial_messageable(channel_id)
        sent = await channel.send(embed=embed, view=player_view(snapshot), allowed_mentions=NO_MENTIONS)
        panel.message_id, panel.channel_id = sent.id, channel_id
        panel.shown = (embed.to_dict(), snapshot.phase is Phase.PAUSED)
        self.saw(channel_id, sent.id)

    async def _delete(self, panel: _Panel) -> None:
        message_id, channel_id = panel.message_id, panel.channel_id
        panel.message_id, panel.shown = None, None
        if message_id is None or channel_id is None:
            return
        try:
            await self._client.get_partial_messageable(channel_id).get_partial_message(message_id).delete()
        except _FAILURES as exc:
            log.info("panel.not_deleted", error=repr(exc))

    def _locale_of(self, snapshot: Snapshot) -> Locale:
        """Return the language of a guild's channel: what its managers chose, else the guild's own, else LOCALE."""
        if snapshot.rules.locale is not None:
            return snapshot.rules.locale
        guild = self._client.get_guild(snapshot.guild_id)
        language = guild.preferred_locale.value[:2] if guild is not None else ""
        if language == "es":
            return "es"
        return "en" if language == "en" else self._locale
