"""Answers an interaction in time: at once if the work is quick, else with "thinking…" and an edit afterwards.

Discord allows 3 s for the first response (developers documentation, "Receiving and Responding to Interactions").
Nothing sent here can mention anyone. A reply that Discord refuses is followed by one line that says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeGuard

import discord

from bot_service.discord_ui.permissions import BotRefusal
from bot_service.discord_ui.replies import texts
from bot_service.discord_ui.replies.errors import explain
from bot_service.discord_ui.replies.limits import CONTENT, cut
from bot_service.player.rules.outcomes import PlayerRefusal
from common.errors import AppError, Locale
from common.observability.telemetry import get_logger

log = get_logger(__name__)

Interaction = discord.Interaction[Any]

_DEFER_AFTER_SECONDS = 1.0
# Discord's codes: the interaction has expired (or was never ours), and it was answered before.
_EXPIRED, _ANSWERED = 10062, 40060
NO_MENTIONS = discord.AllowedMentions.none()


@dataclass(frozen=True, slots=True)
class Reply:
    """One message. `private`: shown to the user alone, unless "thinking…" was public.

    `in_place`: it replaces the message whose component was used.
    """

    content: str = ""
    embed: discord.Embed | None = None
    view: discord.ui.View | None = None
    private: bool = False
    in_place: bool = False

    def parts(self) -> dict[str, Any]:
        """Return the arguments for discord.py's senders, without the absent parts."""
        parts: dict[str, Any] = {"content": cut(self.content, CONTENT) or None, "allowed_mentions": NO_MENTIONS}
        if self.embed is not None:
            parts["embed"] = self.embed
        if self.view is not None:
            parts["view"] = self.view
        return parts


def locale_of(interaction: Interaction, default: Locale) -> Locale:
    """Return the language of the user's Discord client if the bot has it, else the default."""
    language = interaction.locale.value[:2]
    if language == "en":
        return "en"
    return "es" if language == "es" else default


async def answer(
    interaction: Interaction, locale: Locale, work: Awaitable[Reply | None], *, defers_itself: bool = False
) -> str:
    """Await the work and answer with its reply, or with an explanation of its error; None: acknowledge silently.

    Args:
        interaction: the command or component.
        locale: the user's language.
        work: returns the reply.
        defers_itself: the work sends "thinking…" itself, after its permission checks.

    Returns the outcome for metrics: "ok", or the error's code.
    """
    task = asyncio.ensure_future(work)
    try:
        done, _ = await asyncio.wait({task}, timeout=None if defers_itself else _DEFER_AFTER_SECONDS)
        if not done and not interaction.response.is_done():
            await _defer(interaction)
        reply, outcome = await _outcome_of(task, locale)
    finally:
        task.cancel()
    await send(interaction, reply, locale)
    return outcome


async def _defer(interaction: Interaction) -> None:
    """Show "thinking…"; the work goes on without it if the interaction has expired."""
    try:
        await interaction.response.defer(thinking=True)
    except discord.HTTPException as exc:
        _log_lost(exc)


async def _outcome_of(task: asyncio.Future[Reply | None], locale: Locale) -> tuple[Reply | None, str]:
    try:
        return await task, "ok"
    except (AppError, PlayerRefusal, BotRefusal) as exc:
        return Reply(f"❌ {explain(exc, locale)}", private=True), str(exc.code)
    except Exception as exc:
        if is_lost(exc):
            _log_lost(exc)
            return None, "expired"
        log.exception("command.crashed")
        return Reply(f"❌ {explain(exc, locale)}", private=True), "internal_error"


async def send(interaction: Interaction, reply: Reply | None, locale: Locale) -> None:
    """Send the reply, as an edit if the interaction was deferred; None acknowledges silently. Failures are logged.

    A reply that Discord does not take as it is (400) is replaced by one line.
    """
    try:
        await _send(interaction, reply)
    except discord.HTTPException as exc:
        if exc.status != HTTPStatus.BAD_REQUEST or exc.code == _ANSWERED or reply is None:
            # The token has expired, or the message was deleted.
            _log_lost(exc)
            return
        log.exception("reply.refused", discord_code=exc.code, detail=exc.text)
        try:
            await _send(interaction, Reply(texts.REPLY_REFUSED.to(locale), private=reply.private))
        except discord.HTTPException as again:
            _log_lost(again)


def is_lost(error: BaseException) -> TypeGuard[discord.HTTPException]:
    """Whether the interaction has expired, or was answered before: nothing can be said in it any more."""
    return isinstance(error, discord.HTTPException) and error.code in {_EXPIRED, _ANSWERED}


async def _send(interaction: Interaction, reply: Reply | None) -> None:
    answered = interaction.response.is_done()
    if reply is None:
        if not answered:
            await interaction.response.defer()
    elif answered:
        await interaction.edit_original_response(**reply.parts())
    elif reply.in_place:
        await interaction.response.edit_message(**reply.parts())
    else:
        await interaction.response.send_message(ephemeral=reply.private, **reply.parts())


def _log_lost(exc: discord.HTTPException) -> None:
    log.warning("reply.lost", status=exc.status, discord_code=exc.code)
