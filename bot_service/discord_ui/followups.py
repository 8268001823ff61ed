"""Answers that come long after the command: an edit of the reply while its token lives, a channel message afterwards.

Discord lets an interaction be answered for 15 minutes (developers documentation, "Receiving and Responding to
Interactions"). Nothing that is sent can mention anybody. What cannot be sent is logged: there is nobody left to tell.
"""

from __future__ import annotations

from datetime import timedelta

import aiohttp
import discord

from bot_service.discord_ui.replies.answer import NO_MENTIONS
from bot_service.store.base import PendingRequest
from common.messages.base import utc_now
from common.observability.telemetry import get_logger

log = get_logger(__name__)

TOKEN_LIFE = timedelta(minutes=14, seconds=30)
_FAILURES = (discord.DiscordException, aiohttp.ClientError, OSError, TimeoutError)


class LateReplies:
    """Reaches whoever made a request."""

    def __init__(self, client: discord.Client) -> None:
        self._client = client

    async def update(self, asked: PendingRequest, content: str) -> bool:
        """Show how the request goes, in the reply itself. False: that can no longer be done."""
        if not asked.interaction_token or utc_now() - asked.asked_at > TOKEN_LIFE:
            return False
        webhook = discord.Webhook.partial(asked.application_id, asked.interaction_token, client=self._client)
        webhook.proxy = self._client.http.proxy  # made from parts, it does not take the client's
        try:
            if asked.message_id is None:
                await webhook.send(content, allowed_mentions=NO_MENTIONS)
            else:
                await webhook.edit_message(asked.message_id, content=content, allowed_mentions=NO_MENTIONS)
        except _FAILURES as exc:
            log.info("reply.update_failed", request_id=asked.request_id, error=repr(exc))
            return False
        return True

    async def tell(self, asked: PendingRequest, content: str) -> None:
        """Say how the request ended: in the reply, or else in the channel it was made in."""
        if not await self.update(asked, content):
            await self.say(asked.text_channel_id, f"<@{asked.user_id}> {content}")

    async def say(self, channel_id: int, content: str) -> int | None:
        """Send a message to a channel. Returns its id, None when it could not be sent."""
        try:
            sent = await self._client.get_partial_messageable(channel_id).send(content, allowed_mentions=NO_MENTIONS)
        except _FAILURES as exc:
            log.warning("channel.message_failed", channel_id=channel_id, error=repr(exc))
            return None
        return sent.id
