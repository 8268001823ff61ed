"""Claims many records at once in a process of its own, for the contract suite; prints the ids it came to own.

Waits for a line on stdin after saying "ready", so that two of these begin together. Settings come from the environment.
"""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import timedelta

from audio_service.media.repository import open_repository
from audio_service.media.repository.base import Owned, Waiter
from audio_service.settings import AudioSettings
from common.messages.downloads import PlatformMetadata
from common.settings import load

LEASE = timedelta(minutes=5)


async def race(name: str, count: int) -> None:
    async with open_repository(load(AudioSettings)) as repository:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.readline)

        async def owns(number: int) -> bool:
            waiter = Waiter(f"{name}-{number}", name)
            return isinstance(await repository.claim(f"song-{number}", waiter, PlatformMetadata(), LEASE), Owned)

        owned = await asyncio.gather(*(owns(number) for number in range(count)))
    sys.stdout.write(json.dumps([number for number, mine in enumerate(owned) if mine]))


if __name__ == "__main__":
    asyncio.run(race(sys.argv[1], int(sys.argv[2])))
