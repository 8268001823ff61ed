"""What a song costs on SQS, DynamoDB and S3: every request is counted on its way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.reporting import Table
from tests.servers.aws_counter import AwsCounter, open_aws_counter
from tests.servers.aws_system import aws_settings
from tests.servers.emulators import Emulator
from tests.servers.media_files import make
from tests.servers.media_site import MediaSite
from tests.servers.system import Client, open_client, open_worker

_MOST = 40
"""Of the audio service and the queues; what the bot adds is at most 20 (docs/aws.md)."""
_OF_TIME = frozenset({"sqs ReceiveMessage", "sqs GetQueueAttributes", "s3 HeadBucket"})
"""These depend on how long it takes, not on the song."""


async def test_a_song_costs_few_requests(  # noqa: PLR0913, PLR0917 - fixtures
    tmp_path: Path, media: Path, site: MediaSite, ministack: Emulator, seaweedfs: Emulator, tables: list[Table]
) -> None:
    song = make("webm_opus", media, 60)
    # None of them is renewed, on the slowest machine.
    leases: dict[str, Any] = {"lease_seconds": 600, "broker_lease_seconds": 600}
    async with (
        open_aws_counter(ministack.url) as most,
        open_aws_counter(seaweedfs.url) as s3,
        aws_settings(tmp_path, site, _behind(ministack, most), _behind(seaweedfs, s3), **leases) as settings,
        open_client(settings) as client,
        open_worker(settings),
    ):
        await _ask(client, site.page(site.file(song)))
        before = most.requests + s3.requests
        await _ask(client, site.page(site.file(song), title="Another page, and so another song"))
        new = most.requests + s3.requests - before
        before += new
        await _ask(client, site.page(site.file(song), title="Another page, and so another song"))
        known = most.requests + s3.requests - before
    rows: list[Sequence[str]] = [(name, str(new[name]), str(known[name])) for name in sorted(new | known)]
    tables.append(Table("AWS requests for a song", ("operation", "new", "asked for again"), rows))
    assert {"dynamodb TransactWriteItems", "s3 PutObject", "sns PublishBatch", "sqs SendMessageBatch"} <= set(new)
    assert _of_the_song(new) < _MOST, new
    assert _of_the_song(known) < _MOST / 2, known


def _of_the_song(requests: Counter[str]) -> int:
    return sum(number for name, number in requests.items() if name not in _OF_TIME)


def _behind(server: Emulator, counter: AwsCounter) -> Emulator:
    return replace(server, port=int(counter.url.rpartition(":")[2]))


async def _ask(client: Client, address: str) -> None:
    asked = await client.ask(address)
    assert (await client.status(asked)).success
    await client.drained()
