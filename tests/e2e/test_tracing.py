"""One trace from the slash command over the broker to the first voice packet, as a collector gets it."""

from __future__ import annotations

import itertools
from pathlib import Path

from tests.discord import open_fake_discord
from tests.discord.bot_process import bot_environment, open_bot_process
from tests.servers.collector import Span, open_collector
from tests.servers.media_files import make
from tests.servers.media_site import open_media_site
from tests.servers.ports import free_port
from tests.servers.system import open_audio_process, settings_for

REQUESTS, STATUSES = "bot.download.requests", "bot.download.status"
BOT, AUDIO = "butakero-bot", "butakero-audio"
CHAIN = [
    (BOT, "command play"),
    (BOT, f"publish {REQUESTS}"),
    (AUDIO, f"process {REQUESTS}"),
    (AUDIO, f"publish {STATUSES}"),
    (BOT, f"process {STATUSES}"),
    (BOT, "first packet"),
]
STAGES = {"resolving", "downloading", "encoding", "storing"}


def named(spans: list[Span], service: str, name: str) -> Span:
    found = [span for span in spans if (span.service, span.name) == (service, name)]
    assert len(found) == 1, [(span.service, span.name) for span in spans]
    return found[0]


async def test_a_song_that_is_fetched_is_one_trace_from_the_command_to_the_first_packet(tmp_path: Path) -> None:
    files = tmp_path / "files"
    files.mkdir()
    song = make("webm_opus", files, 3)
    async with open_collector() as collector, open_media_site(files) as site, open_fake_discord() as discord:
        audio = settings_for(tmp_path, site.address, http_port=free_port(), otel_exporter_otlp_endpoint=collector.url)
        environment = bot_environment(discord, audio, tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)
        guild = discord.guild("Casa")
        ana = guild.member("ana")
        ana.join(guild.voice_channel("Musica"))
        async with open_audio_process(audio), open_bot_process(discord, environment):
            await ana.slash("music", "play", input=site.file(song))
            await guild.voice.sound(10)
            spans = await collector.until(
                lambda spans: {(service, name) for service, name in CHAIN} <= {(s.service, s.name) for s in spans}
            )
    chain = [named(spans, service, name) for service, name in CHAIN]
    assert not chain[0].parent_id
    for cause, effect in itertools.pairwise(chain):
        assert effect.parent_id == cause.span_id, effect.name
        assert effect.trace_id == cause.trace_id
        assert effect.began >= cause.began
    job = chain[2]
    stages = {span.name for span in spans if span.parent_id == job.span_id and span.name in STAGES}
    assert {"resolving", "downloading", "storing"} <= stages
    assert not any(span.failed for span in spans)
    # What people typed is in no span.
    assert song.name not in repr(spans)
