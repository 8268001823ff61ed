"""Logs in and stays connected: retries while Discord is unavailable, reports in one line what an operator must fix."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from http import HTTPStatus

import aiohttp
import discord

from common.errors import AppError
from common.observability.telemetry import get_logger
from common.tasks import pause

log = get_logger(__name__)

_FIRST_DELAY_SECONDS = 1.0
_LONGEST_DELAY_SECONDS = 60.0
_AUTHENTICATION_FAILED = 4004


class DiscordRefused(AppError):
    """Discord rejects the bot as it is configured; an operator must fix that."""

    needs_operator = True


async def log_in(client: discord.Client, token: str, stop: asyncio.Event) -> None:
    """Log in and register the commands; retries with exponential backoff until `stop` while Discord is unavailable.

    Raises:
        DiscordRefused: the token is wrong.
    """
    delay = _FIRST_DELAY_SECONDS
    while not stop.is_set():
        try:
            await client.login(token)
        except discord.LoginFailure as exc:
            raise DiscordRefused("DISCORD_TOKEN: Discord does not accept this token") from exc
        except (discord.HTTPException, discord.app_commands.AppCommandError, aiohttp.ClientError, OSError) as exc:
            if isinstance(exc, discord.HTTPException) and exc.status == HTTPStatus.UNAUTHORIZED:
                raise DiscordRefused("DISCORD_TOKEN: Discord does not accept this token") from exc
            log.warning("discord.login_failed", error=repr(exc), seconds=delay)
            await client.http.close()
            # Closing the session closed its connector; unset, the library makes a new one for the next session.
            client.http.connector = discord.utils.MISSING
            await pause(stop, timedelta(seconds=delay))
            delay = min(delay * 2, _LONGEST_DELAY_SECONDS)
        else:
            return


async def stay_connected(client: discord.Client) -> None:
    """Keep the gateway connected; the library reconnects after a loss.

    Raises:
        DiscordRefused: the token was revoked, or Discord closed the gateway with a code that rules out a reconnect.
    """
    try:
        await client.connect(reconnect=True)
    except discord.PrivilegedIntentsRequired as exc:
        raise DiscordRefused("Discord asks for privileged intents to be switched on for this bot") from exc
    except discord.ConnectionClosed as exc:
        if exc.code == _AUTHENTICATION_FAILED:
            raise DiscordRefused("DISCORD_TOKEN: Discord no longer accepts this token") from exc
        raise DiscordRefused(f"Discord closed the gateway for good (code {exc.code})") from exc
