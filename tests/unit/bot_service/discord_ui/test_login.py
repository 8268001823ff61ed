from __future__ import annotations

import asyncio

import discord

from bot_service.discord_ui.login import log_in


async def test_a_discord_that_is_away_is_tried_again_until_the_bot_stops() -> None:
    stop, tried = asyncio.Event(), 0

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal tried
        tried += 1
        # The library tries once more by itself, over the same session, when a connection is reset.
        if tried > 2:
            stop.set()
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, discord.Client(intents=discord.Intents.none(), proxy=f"http://127.0.0.1:{port}") as client:
        await log_in(client, "a-token", stop)
    assert tried > 2
    assert client.is_closed()
