"""Replies long after the command: an edit while the interaction token is valid, a channel message afterwards.

Discord accepts edits for 15 minutes (developers documentation, "Receiving and Responding to Interactions"). Nothing
sent here can mention anyone. A message that cannot be sent is logged.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from http import HTTPStatus
from typing import TypeVar

import aiohttp
import discord

from bot_service.discord_ui.replies import texts
from bot_service.discord_ui.replies.answer import NO_MENTIONS
from bot_service.discord_ui.replies.limits import CONTENT, cut
from bot_service.store.base import PendingRequest
from common.errors import Locale
from common.messages.base import utc_now
from common.observability.telemetry import get_logger

log = get_logger(__name__)

T = TypeVar("T")

TOKEN_LIFE = timedelta(minutes=14, seconds=30)
DISCORD_FAILURES = (discord.DiscordException, aiohttp.ClientError, OSError, TimeoutError)
"""What discord.py's senders raise when Discord refuses a call or cannot be reached."""


class Followups:
    """Edits replies of open requests, and sends messages to channels."""

    def __init__(self, client: discord.Client) -> None:
        self._client = client

    async def edit(self, request: PendingRequest, content: str) -> bool:
        """Edit the reply to the command. False: its token has expired, or Discord refused."""
        if not request.interaction_token or utc_now() - request.asked_at > TOKEN_LIFE:
            return False
        webhook = discord.Webhook.partial(request.application_id, request.interaction_token, client=self._client)
        webhook.proxy = self._client.http.proxy  # a partial webhook does not take the client's

        async def show(text: str) -> None:
            if request.message_id is None:
                await webhook.send(text, allowed_mentions=NO_MENTIONS)
            else:
                await webhook.edit_message(request.message_id, content=text, allowed_mentions=NO_MENTIONS)

        try:
            await _or_one_line(show, content, request.locale)
        except DISCORD_FAILURES as exc:
            log.info("reply.update_failed", request_id=request.request_id, error=repr(exc))
            return False
        return True

    async def edit_or_send(self, request: PendingRequest, content: str) -> None:
        """Edit the reply to the command, or else write to the channel of the command."""
        if not await self.edit(request, content):
            await self.send(request.text_channel_id, f"<@{request.user_id}> {content}", request.locale)

    async def send(self, channel_id: int, content: str, locale: Locale) -> int | None:
        """Send a message to a channel. Returns its id, None if Discord refused."""
        channel = self._client.get_partial_messageable(channel_id)

        async def show(text: str) -> discord.Message:
            return await channel.send(text, allowed_mentions=NO_MENTIONS)

        try:
            sent = await _or_one_line(show, content, locale)
        except DISCORD_FAILURES as exc:
            log.warning("channel.message_failed", channel_id=channel_id, error=repr(exc))
            return None
        return sent.id


async def _or_one_line(show: Callable[[str], Awaitable[T]], content: str, locale: Locale) -> T:
    """Show a text within Discord's limit, or one line in its place if Discord does not take it (400)."""
    try:
        return await show(cut(content, CONTENT))
    except discord.HTTPException as exc:
        if exc.status != HTTPStatus.BAD_REQUEST:
            raise
        log.exception("reply.refused", discord_code=exc.code, detail=exc.text)
        return await show(texts.REPLY_REFUSED.to(locale))
