"""The player message of each guild, and the player's notices in the same channel.

Edited on changes and every PLAYER_UPDATE_SECONDS while a song plays, at most once a second. Sent anew after it was
deleted, when playback moves to another text channel, and, for a new song, when other messages follow it. It survives a
restart: its id is saved with the player, and its buttons are stateless (`views`). A channel that
refuses it is left alone.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus

import discord

from bot_service.discord_ui.followups import DISCORD_FAILURES, Followups
from bot_service.discord_ui.latest_messages import LatestMessages
from bot_service.discord_ui.replies import texts
from bot_service.discord_ui.replies.answer import NO_MENTIONS, locale_of
from bot_service.discord_ui.replies.embeds import bare_player_embed, player_embed
from bot_service.discord_ui.replies.outcomes import describe_notice
from bot_service.discord_ui.views import player_view
from bot_service.player.guild_player import GuildPlayer
from bot_service.player.rules.events import MessageKept
from bot_service.player.rules.model import Phase
from bot_service.player.rules.outcomes import Notice, NoticeKind
from bot_service.player.snapshot import Snapshot
from common.errors import Locale
from common.observability.telemetry import get_logger
from common.tasks import time_limit

log = get_logger(__name__)

_MIN_INTERVAL_SECONDS = 1.0
_LONGEST_DELAY_SECONDS = 60.0
# So often Discord may refuse a message in a channel before the bot gives up writing there.
_REFUSALS = 3


@dataclass(slots=True)
class _GuildMessage:
    """State of one guild's message. `content` is what it shows now, `entry_id` the entry it was last shown for.

    `failures`: how often in a row it could not be shown. `given_up`: the channel in which Discord kept refusing it.
    `bare_entry`: the entry whose full message Discord did not take.
    """

    changed: asyncio.Event = field(default_factory=asyncio.Event)
    notices: deque[tuple[Snapshot, Notice]] = field(default_factory=deque[tuple[Snapshot, Notice]])
    message_id: int | None = None
    channel_id: int | None = None
    entry_id: str = ""
    content: object = None
    failures: int = 0
    given_up: int | None = None
    bare_entry: str | None = None


class PlayerMessages:
    """The players' display. `run` has one task per guild; the other methods return at once."""

    def __init__(
        self,
        client: discord.Client,
        player_of: Callable[[int], GuildPlayer],
        latest_messages: LatestMessages,
        *,
        update_seconds: float,
        locale: Locale,
    ) -> None:
        self._client = client
        self._player_of = player_of
        self._latest_messages = latest_messages
        self._followups = Followups(client)
        self._update_seconds = update_seconds
        self._locale: Locale = locale
        self._messages: dict[int, _GuildMessage] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._running: list[asyncio.Task[None]] = []

    def refresh(self, snapshot: Snapshot) -> None:
        """Schedule an update of a guild's message."""
        self._message(snapshot.guild_id).changed.set()

    def notice(self, guild_id: int, notice: Notice) -> None:
        """Schedule a notice in the guild's text channel."""
        message = self._message(guild_id)
        message.notices.append((self._player_of(guild_id).snapshot, notice))
        message.changed.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Update all messages until `stop`."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            for guild_id, message in self._messages.items():
                self._start(tasks, guild_id, message)
            await stop.wait()
            self._tasks = None
            for task in self._running:
                task.cancel()

    def _start(self, tasks: asyncio.TaskGroup, guild_id: int, message: _GuildMessage) -> None:
        self._running.append(tasks.create_task(self._update(guild_id, message)))

    def _message(self, guild_id: int) -> _GuildMessage:
        message = self._messages.get(guild_id)
        if message is None:
            message = self._messages[guild_id] = _GuildMessage()
            if self._tasks is not None:
                self._start(self._tasks, guild_id, message)
        return message

    async def _update(self, guild_id: int, message: _GuildMessage) -> None:
        while True:
            snapshot = self._player_of(guild_id).snapshot
            timeout = self._update_seconds if snapshot.phase is Phase.PLAYING else None
            try:
                async with time_limit(timeout):
                    await message.changed.wait()
            except TimeoutError:
                pass
            message.changed.clear()
            try:
                await self._send_notices(message)
                if not self._is_given_up(guild_id, message):
                    await self._show(guild_id, message)
                    message.failures = 0
            except DISCORD_FAILURES as exc:
                log.warning("player_message.failed", guild_id=guild_id, error=repr(exc))
                await self._failed(guild_id, message, exc)
            except Exception:
                # A defect here must not end the task group, and with it the music of all guilds.
                log.exception("player_message.crashed", guild_id=guild_id)
            await asyncio.sleep(_MIN_INTERVAL_SECONDS)

    def _is_given_up(self, guild_id: int, message: _GuildMessage) -> bool:
        """Whether the guild's text channel is the one that refused; another one is tried again."""
        if message.given_up is not None and message.given_up != self._player_of(guild_id).snapshot.text_channel_id:
            message.given_up, message.failures = None, 0
        return message.given_up is not None

    async def _failed(self, guild_id: int, message: _GuildMessage, exc: BaseException) -> None:
        """Wait longer after each failure. If Discord keeps refusing, give the channel up and say so once."""
        snapshot = self._player_of(guild_id).snapshot
        message.failures += 1
        if isinstance(exc, discord.HTTPException) and exc.status == HTTPStatus.BAD_REQUEST:
            message.bare_entry = snapshot.current.entry_id if snapshot.current is not None else None
        if not isinstance(exc, discord.Forbidden | discord.NotFound) or message.failures < _REFUSALS:
            await asyncio.sleep(min(_MIN_INTERVAL_SECONDS * 2**message.failures, _LONGEST_DELAY_SECONDS))
            message.changed.set()
            return
        message.given_up = snapshot.text_channel_id
        message.message_id, message.content = None, None
        interaction = self._latest_messages.last_interaction(guild_id)
        if interaction is None or message.given_up is None:
            return
        words = texts.CANNOT_WRITE.to(locale_of(interaction, self._locale)).format(channel=message.given_up)
        try:
            await interaction.followup.send(words, ephemeral=True, allowed_mentions=NO_MENTIONS)
        except DISCORD_FAILURES as unsent:
            log.info("player_message.refusal_not_told", guild_id=guild_id, error=repr(unsent))

    def _embed(self, message: _GuildMessage, snapshot: Snapshot) -> discord.Embed:
        entry = snapshot.current
        bare = entry is not None and entry.entry_id == message.bare_entry
        return (bare_player_embed if bare else player_embed)(snapshot, self._locale_of(snapshot))

    async def _send_notices(self, message: _GuildMessage) -> None:
        while message.notices:
            snapshot, notice = message.notices.popleft()
            if snapshot.text_channel_id is None:
                continue
            locale = self._locale_of(snapshot)
            words = describe_notice(notice, locale)
            if notice.kind is NoticeKind.RESTORED and self._player_of(snapshot.guild_id).snapshot.waiting_to_join:
                words += f"\n{texts.WAITING_TO_JOIN.to(locale)}"  # the player message may be far above
            if sent := await self._followups.send(snapshot.text_channel_id, words, locale):
                self._latest_messages.note(snapshot.text_channel_id, sent)

    async def _show(self, guild_id: int, message: _GuildMessage) -> None:
        player = self._player_of(guild_id)
        snapshot = player.snapshot
        if message.message_id is None:
            message.message_id, message.channel_id = snapshot.message_id, snapshot.text_channel_id
        if snapshot.current is None:
            await self._retire(player, message, snapshot)
            return
        channel_id = snapshot.text_channel_id
        if channel_id is None:
            return
        entry_id = snapshot.current.entry_id
        followed = self._latest_messages.in_channel(channel_id) > (message.message_id or 0)
        moved = channel_id != message.channel_id
        # "" after a restart: the message that was saved shows this entry.
        is_new = message.entry_id not in {"", entry_id}
        if message.message_id is not None and (moved or (is_new and followed and snapshot.rules.announce)):
            await self._delete(message)
        if message.message_id is None or not await self._edit(message, snapshot):
            await self._send(channel_id, message, snapshot)
            player.tell(MessageKept(message.message_id))
        message.entry_id = entry_id

    async def _retire(self, player: GuildPlayer, message: _GuildMessage, snapshot: Snapshot) -> None:
        """Reduce the message to one line without buttons when nothing plays; the next song gets a new message."""
        if message.message_id is None:
            return
        message_id, channel_id = message.message_id, message.channel_id
        message.message_id, message.content = None, None
        player.tell(MessageKept(None))
        if channel_id is not None:
            sent = self._client.get_partial_messageable(channel_id).get_partial_message(message_id)
            embed = player_embed(snapshot, self._locale_of(snapshot))
            await sent.edit(embed=embed, view=None, allowed_mentions=NO_MENTIONS)

    async def _edit(self, message: _GuildMessage, snapshot: Snapshot) -> bool:
        """Edit the message if its content changed. False: it was deleted."""
        embed = self._embed(message, snapshot)
        content = _content(embed, snapshot)
        if content == message.content:
            return True
        if message.message_id is None or message.channel_id is None:
            return False
        sent = self._client.get_partial_messageable(message.channel_id).get_partial_message(message.message_id)
        try:
            await sent.edit(embed=embed, view=player_view(snapshot), allowed_mentions=NO_MENTIONS)
        except discord.NotFound:
            message.message_id = None
            return False
        message.content = content
        return True

    async def _send(self, channel_id: int, message: _GuildMessage, snapshot: Snapshot) -> None:
        embed = self._embed(message, snapshot)
        channel = self._client.get_partial_messageable(channel_id)
        sent = await channel.send(embed=embed, view=player_view(snapshot), allowed_mentions=NO_MENTIONS)
        message.message_id, message.channel_id = sent.id, channel_id
        message.content = _content(embed, snapshot)
        self._latest_messages.note(channel_id, sent.id)

    async def _delete(self, message: _GuildMessage) -> None:
        message_id, channel_id = message.message_id, message.channel_id
        message.message_id, message.content = None, None
        if message_id is None or channel_id is None:
            return
        try:
            await self._client.get_partial_messageable(channel_id).get_partial_message(message_id).delete()
        except DISCORD_FAILURES as exc:
            log.info("player_message.not_deleted", error=repr(exc))

    def _locale_of(self, snapshot: Snapshot) -> Locale:
        """Return the language of a guild's channel: from its settings, else the guild's own, else LOCALE."""
        if snapshot.rules.locale is not None:
            return snapshot.rules.locale
        guild = self._client.get_guild(snapshot.guild_id)
        language = guild.preferred_locale.value[:2] if guild is not None else ""
        if language == "es":
            return "es"
        return "en" if language == "en" else self._locale


def _content(embed: discord.Embed, snapshot: Snapshot) -> object:
    """Return what a message shows, to compare it with what it is to show."""
    entry_id = snapshot.current.entry_id if snapshot.current is not None else ""
    return embed.to_dict(), snapshot.phase is Phase.PAUSED, entry_id
