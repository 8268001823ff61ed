"""Many guilds play at once in one bot process: everybody hears every frame, in order, and none is starved.

Ten seconds here, fewer guilds on a single core; `FULL=1` plays for a minute. How late packets are is measured by
`python -m bench voice`, and judged by nobody here.
"""

from __future__ import annotations

import os
from pathlib import Path

from tests.discord import assert_plays
from tests.discord.crowd import FRAME_SECONDS, clock, metrics_of, open_crowd

FULL = os.environ.get("FULL") == "1"
GUILDS = 50 if FULL or (os.cpu_count() or 1) > 1 else 20
SECONDS = 60 if FULL else 10
# Until the last guild plays, the first one has been at it for a while.
_SONG_SECONDS = SECONDS + (60 if FULL else 30)


async def test_all_guilds_hear_the_song_frame_by_frame(tmp_path: Path) -> None:
    count = round(SECONDS / FRAME_SECONDS)
    async with open_crowd(tmp_path, GUILDS, _SONG_SECONDS) as crowd:
        with clock() as beside:
            await crowd.play()
            marks = crowd.marks()
            await crowd.heard(count, marks)
        told = await metrics_of(crowd.bot)
        for guild in crowd.guilds:
            packets = crowd.sound(guild)
            assert_plays(packets, crowd.frames)
            assert len(packets) >= count
        starved = sum(packet.is_silence for guild in crowd.guilds for packet in crowd.sound(guild))
        story = f"the clock beside it was late by {beside.worst * 1000:.0f} ms at most"
        assert told["butakero_bot_frames_starved_total"] == starved == 0, story
        assert told["butakero_bot_frames_sent_total"] >= GUILDS * count
        assert told["butakero_bot_voice_connections"] == told["butakero_bot_guilds"] == GUILDS
        assert told.get("butakero_bot_voice_reconnects_total", 0) == 0, story
        assert not crowd.discord.problems
