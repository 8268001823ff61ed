"""A bot that was killed while many guilds played: after its start all have it back, none gives up, each is told why.

14 guilds here, more than join at once. `FULL=1` is 300, which takes three minutes a start: 80 joins a minute.
"""

from __future__ import annotations

import os
from pathlib import Path

from tests.discord.many import open_many
from tests.waiting import patience

FULL = os.environ.get("FULL") == "1"
GUILDS = 300 if FULL else 14
PLAYING = 40 if FULL else 7
STARTS = 2 if FULL else 1


async def test_all_guilds_have_the_bot_back_after_a_restart(tmp_path: Path) -> None:
    async with open_many(tmp_path, GUILDS, PLAYING) as many:
        for _ in range(STARTS):
            result = await many.start(patience(60 + GUILDS))
            assert len(result.back) == GUILDS, str(result)
            assert result.gave_up == result.untold == result.closed == 0, str(result)
        assert not many.discord.problems
