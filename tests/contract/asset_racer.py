"""Claims the assets that its arguments name, all at once, in a process of its own; prints the ids that it came to own.

Waits for a line on stdin after saying "ready", so that two of these begin together. Settings come from the environment.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from datetime import timedelta

from audio_service.assets.repository import open_assets
from audio_service.assets.repository.base import Claimed
from audio_service.settings import AudioSettings
from common.settings import load

LEASE = timedelta(minutes=5)


async def race(asset_ids: Sequence[str]) -> None:
    async with open_assets(load(AudioSettings)) as assets:
        assert assets is not None
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.readline)
        claims = await asyncio.gather(*(assets.claim(asset_id, LEASE) for asset_id in asset_ids))
    owned = [asset_id for asset_id, claim in zip(asset_ids, claims, strict=True) if isinstance(claim, Claimed)]
    sys.stdout.write(json.dumps(owned))


if __name__ == "__main__":
    asyncio.run(race(sys.argv[1:]))
