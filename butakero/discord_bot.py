"""The Discord bot beside the audio service of `butakero up`, if DISCORD_TOKEN is set.

The audio service does not depend on it. It is called running once it is connected to Discord, never because its process
exists.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Annotated

import httpx
from pydantic import Field, SecretStr

from butakero.layout import print_facts
from butakero.service import (
    BOT_COMMAND,
    BOT_LOG_PATH,
    STOP_MARGIN_SECONDS,
    PortTaken,
    Service,
    ServiceDied,
    base_url,
    open_port,
    run_service,
)
from butakero.service_log import show_last_log_lines
from butakero.shell import ENV_FILE, Shell
from butakero.texts import BOT, BOT_AWAY, BOT_DIED, BOT_PORT_UNUSABLE, BOT_RUNNING, BOT_STARTING
from common.settings import SharedSettings, load
from common.tasks import running_alongside

_POLL_SECONDS = 0.5
_AWAY_SECONDS = 15.0
"""How long the bot may be without Discord before it is said: a new connection takes a few seconds."""


class _BotSettings(SharedSettings):
    """Whether there is a token, and where the bot serves its health. The bot checks its settings itself."""

    discord_token: SecretStr = SecretStr("")
    bot_http_host: str = "127.0.0.1"
    bot_http_port: Annotated[int, Field(ge=0, le=65535)] = 8081


@asynccontextmanager
async def discord_bot(
    shell: Shell,
    audio_url: str,
    forced: asyncio.Event,
    *,
    program: Sequence[str] = BOT_COMMAND,
    away_seconds: float = _AWAY_SECONDS,
) -> AsyncGenerator[None]:
    """Run the bot while the body runs, and tell the terminal about its connection to Discord."""
    settings = load(_BotSettings, ENV_FILE)
    if not settings.discord_token.get_secret_value():
        yield
        return
    try:
        listener = open_port(settings.bot_http_host, settings.bot_http_port)
    except (PortTaken, OSError) as exc:
        address = {"host": settings.bot_http_host, "port": settings.bot_http_port}
        shell.err.print(shell.say(BOT_PORT_UNUSABLE, **address, reason=_reason(exc)), style="red")
        yield
        return
    url = base_url(settings.bot_http_host, listener.getsockname()[1])
    environment = {"AUDIO_PROCESSOR_URL": audio_url}
    command = run_service(environment, log_path=BOT_LOG_PATH, command=program, listener=listener)
    async with command as bot:
        _tell(shell, shell.say(BOT_STARTING, path=bot.log_path))
        try:
            async with (
                running_alongside(_watch(shell, bot)),
                running_alongside(_tell_state(shell, bot, url, away_seconds)),
            ):
                yield
        finally:
            await bot.stop(shell.settings.drain_seconds + STOP_MARGIN_SECONDS, forced)


async def _watch(shell: Shell, bot: Service) -> None:
    try:
        await bot.watch()
    except ServiceDied as exc:
        show_last_log_lines(shell, bot, BOT_DIED, code=exc.code)


async def _tell_state(shell: Shell, bot: Service, url: str, away_seconds: float) -> None:
    """Print one line whenever the bot takes commands again, or has not for `away_seconds`."""
    loop = asyncio.get_running_loop()
    told: bool | None = None
    last_serving = loop.time()
    async with httpx.AsyncClient(trust_env=False, timeout=10) as http:
        while bot.is_alive:
            if await _is_serving(http, url):
                last_serving = loop.time()
                if told is not True:
                    told = True
                    _tell(shell, shell.say(BOT_RUNNING))
            elif bot.is_alive and told is not False and loop.time() - last_serving > away_seconds:
                told = False
                _tell(shell, shell.say(BOT_AWAY, path=bot.log_path))
            await asyncio.sleep(_POLL_SECONDS)


async def _is_serving(http: httpx.AsyncClient, url: str) -> bool:
    """Return whether the bot takes commands: Discord's gateway is connected, and saved players are restored."""
    with contextlib.suppress(httpx.HTTPError):
        return (await http.get(f"{url}/readyz")).is_success
    return False


def _tell(shell: Shell, words: str) -> None:
    with contextlib.suppress(OSError):  # the terminal may be closed while the service drains
        print_facts(shell.out, [(shell.say(BOT), words)])


def _reason(exc: Exception) -> str:
    return (exc.strerror if isinstance(exc, OSError) else None) or str(exc)
