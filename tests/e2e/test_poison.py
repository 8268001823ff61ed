"""Messages that nobody can work on: what lies behind them on their partition is answered, and they can be had back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path

import pytest

from audio_service.settings import AudioSettings
from common.broker.base import Message
from common.messages.base import CORRELATION_ID
from tests.e2e.cli_program import Place
from tests.servers.clustered import KEYS, Clustered, copies, open_clustered, spread
from tests.servers.kafka import Kafka
from tests.servers.media_site import MediaSite
from tests.servers.mongo import Mongo
from tests.servers.system import Client, environment_of, open_audio_process

System = tuple[Clustered, Client]
SAME = KEYS[2]
ATTEMPTS = 3


@pytest.fixture
async def system(tmp_path: Path, site: MediaSite, kafka: Kafka, mongo: Mongo) -> AsyncGenerator[System]:
    async with open_clustered(tmp_path, site, kafka, mongo) as opened:
        yield opened


def at_hand(path: Path, settings: AudioSettings) -> Place:
    """Return where an operator of this system types commands."""
    return Place(path, {**environment_of(settings), "LOCALE": "en"})


async def letters_of(client: Client) -> list[Message]:
    return await client.broker.peek(f"{client.settings.topic_download_requests}.dlq")


async def positions_of(client: Client) -> list[str]:
    messages = await client.broker.peek(client.settings.topic_download_requests)
    return [message.position for message in messages]


def why(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers of a dead letter that the contract names and a test can foresee."""
    return {name: headers[name] for name in ("error_code", "origin_topic", "origin_partition", "attempt")}


async def test_a_request_that_kills_its_child_each_time_is_buried_and_comes_back_after_the_fix(
    system: System, site: MediaSite, tmp_path: Path
) -> None:
    cluster, client = system
    settings = cluster.settings(num_workers=2, service_max_attempts=ATTEMPTS)
    deadly, *good = copies(site, 9)
    async with open_audio_process(settings):
        poison = await client.ask(site.page(site.file(deadly, hold=1000, kill=1000)), key=SAME)
        await site.gate().reached.wait()
        behind = [await client.ask(site.page(site.file(song)), key=SAME) for song in good]
        answers = await client.all_of(request.request_id for request in behind)
        assert all(status.success for status in answers), answers
        assert poison.request_id not in client.answers()
        assert list(spread(await positions_of(client)).values()) == [1 + len(good)]

        site.gate().release()
        assert (await client.status(poison)).error_code == "processing_crashed"
        await client.drained()
        (letter,) = await letters_of(client)
        assert (letter.key, letter.value) == (SAME, poison.to_bytes())
        partition, _, offset = (await positions_of(client))[0].partition(":")
        assert why(letter.headers) == {
            "error_code": "processing_crashed",
            "origin_topic": settings.topic_download_requests,
            "origin_partition": partition,
            "attempt": str(ATTEMPTS),
        }
        assert (letter.headers["origin_offset"], letter.headers[CORRELATION_ID]) == (offset, poison.request_id)
        assert "SIGKILL" in letter.headers["error_message"]

        place = at_hand(tmp_path, settings)
        listed = await asyncio.to_thread(place.run, "dlq", "list")
        assert f"{letter.position}\tprocessing_crashed\t{ATTEMPTS}\t{SAME}" in listed.stdout, listed
        site.repaired = True
        replayed = await asyncio.to_thread(place.run, "dlq", "replay", letter.position)
        assert (replayed.returncode, "Replayed: 1." in replayed.stdout) == (0, True), replayed
        async with client.heard:
            await client.heard.wait_for(lambda: len(client.answers()) == len(good) + 2)
        assert client.statuses[-1].success
        assert "No dead letters" in (await asyncio.to_thread(place.run, "dlq", "list")).stdout
        await client.drained()
    assert client.answers().total() == len(good) + 2


async def test_bytes_that_do_not_parse_hold_nothing_up(system: System, site: MediaSite, tmp_path: Path) -> None:
    cluster, client = system
    settings = cluster.settings(num_workers=1)
    nonsense = [b"\xff\xfe not JSON", b"{", b'{"request_id": "half", "user_id": "7"}', b""]
    for body in nonsense:
        await client.publish(body, key=SAME)
    async with open_audio_process(settings):
        behind = await client.ask(site.page(site.file(copies(site, 1)[0])), key=SAME)
        assert (await client.status(behind)).success
        await client.drained()
        letters = await letters_of(client)
        assert [letter.value for letter in letters] == nonsense
        assert [why(letter.headers) for letter in letters] == [
            {
                "error_code": "invalid_message",
                "origin_topic": settings.topic_download_requests,
                "origin_partition": str(next(iter(spread(await positions_of(client))))),
                "attempt": "1",
            }
        ] * len(nonsense)
        assert [letter.headers["origin_offset"] for letter in letters] == [str(n) for n in range(len(nonsense))]
        # The one that names a request was answered, so far as it could be told; nobody waits for the others.
        assert {status.request_id: status.error_code for status in client.statuses} == {
            "half": "invalid_message",
            behind.request_id: None,
        }
        listed = await asyncio.to_thread(at_hand(tmp_path, settings).run, "dlq", "list")
        assert listed.stdout.count("invalid_message") == len(nonsense), listed
