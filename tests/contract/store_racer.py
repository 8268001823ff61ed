"""Uses the bot's store in a process of its own, for the contract suite. Settings come from the environment.

finish N: says "ready", waits for a line, tries to take N requests at once, and prints the numbers it got.
write GUILD: saves that guild's player over and over, and prints each frame once it is saved, until it is killed.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import replace

from bot_service.settings import BotSettings
from bot_service.store import open_store
from bot_service.store.base import GuildStore
from common.settings import load
from tests.contract.store_samples import player


async def finish(store: GuildStore, count: int) -> None:
    say("ready")
    await asyncio.to_thread(sys.stdin.readline)
    taken = await asyncio.gather(*(store.finish_request(f"request-{number}") for number in range(count)))
    say(json.dumps([number for number, request in enumerate(taken) if request is not None]))


async def write(store: GuildStore, guild_id: int) -> None:
    frame = 0
    while True:
        frame += 1
        if frame % 2:
            await store.save_player(replace(player(guild_id), next_frame=frame))
        else:
            await store.save_positions({guild_id: frame})
        say(str(frame))


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


async def main(task: str, number: int) -> None:
    async with open_store(load(BotSettings)) as store:
        await (finish if task == "finish" else write)(store, number)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
