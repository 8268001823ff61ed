"""Gets the bot into Discord: waits for a Discord that is away, and says in one line what an operator must mend."""

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

_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 60.0
_TOKEN_REFUSED = 4004


class DiscordRefused(AppError):
    """Discord does not let this bot in as it is set up: an operator must mend that."""

    needs_operator = True


async def log_in(client: discord.Client, token: str, stop: asyncio.Event) -> None:
    """Log in and register the commands; a Discord that does not answer is tried again until `stop`.

    Raises:
        DiscordRefused: the token is wrong.
    """
    wait = _FIRST_PAUSE_SECONDS
    while not stop.is_set():
        try:
            await client.login(token)
        except discord.LoginFailure as exc:
            raise DiscordRefused("DISCORD_TOKEN: Discord does not accept this token") from exc
        except (discord.HTTPException, discord.app_commands.AppCommandError, aiohttp.ClientError, OSError) as exc:
            if isinstance(exc, discord.HTTPException) and exc.status == HTTPStatus.UNAUTHORIZED:
                raise DiscordRefused("DISCORD_TOKEN: Discord does not accept this token") from exc
            log.warning("discord.login_failed", error=repr(exc), seconds=wait)
            await client.http.close()
            # The library would make its next session on the connector that has just been closed with the last one.
            client.http.connector = discord.utils.MISSING
            await pause(stop, timedelta(seconds=wait))
            wait = min(wait * 2, _LONGEST_PAUSE_SECONDS)
        else:
            return


async def stay_connected(client: discord.Client) -> None:
    """Hold the gateway connection, over every loss of it.

    Raises:
        DiscordRefused: the token was taken back, or the bot is set up without what it asks for.
    """
    try:
        await client.connect(reconnect=True)
    except discord.PrivilegedIntentsRequired as exc:
        raise DiscordRefused("Discord asks for privileged intents to be switched on for this bot") from exc
    except discord.ConnectionClosed as exc:
        if exc.code == _TOKEN_REFUSED:
            raise DiscordRefused("DISCORD_TOKEN: Discord no longer accepts this token") from exc
        raise DiscordRefused(f"Discord closed the gateway for good (code {exc.code})") from exc
