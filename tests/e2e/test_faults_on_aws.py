"""The audio service on SQS, DynamoDB and S3 that refuse, throttle or are away: each request ends once all the same."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from botocore.retries.standard import ExponentialBackoff
from structlog.testing import capture_logs

from audio_service.settings import AudioSettings
from tests.servers.aws_counter import AwsCounter, Fault, open_aws_counter
from tests.servers.aws_system import aws_settings
from tests.servers.emulators import Emulator
from tests.servers.media_site import MediaSite
from tests.servers.ports import free_port
from tests.servers.reaper import child_environment
from tests.servers.system import ROOT, Client, environment_of, open_audio_process, open_client, open_worker
from tests.waiting import patience, until

_EXPIRED = "Signature expired: 20260101T100000Z is now earlier than 20260101T100502Z (20260101T101002Z - 5 min.)"
_SKEWED = "The difference between the request time and the current time is too large."


@dataclass(frozen=True, slots=True)
class Place:
    """A service's settings lead through `most` (SQS, SNS, DynamoDB) and `s3`, the client's to the emulators."""

    most: AwsCounter
    s3: AwsCounter
    settings: AudioSettings
    client: Client
    site: MediaSite

    def song(self, number: int = 0) -> str:
        """Return the address of one of the songs."""
        return self.site.page(self.site.file(self.path), title=f"Song {number}")

    @property
    def path(self) -> Path:
        """The file behind all songs."""
        return next(self.site.directory.glob("*opus*"))

    @property
    def downloads(self) -> int:
        """How many times it was fetched."""
        return self.site.gets[self.site.file_path(self.path)]


@pytest.fixture
async def place(tmp_path: Path, site: MediaSite, ministack: Emulator, seaweedfs: Emulator) -> AsyncGenerator[Place]:
    # The machine may stand still: no lease is lost for that, and no file fetched again that is held back.
    patient: dict[str, Any] = {"lease_seconds": 120, "broker_lease_seconds": 120, "network_timeout_seconds": 120.0}
    async with (
        open_aws_counter(ministack.url) as most,
        open_aws_counter(seaweedfs.url) as s3,
        aws_settings(tmp_path, site, ministack, seaweedfs, http_port=free_port(), **patient) as settings,
        open_client(settings) as client,
    ):
        behind = settings.model_copy(update={"aws_endpoint_url": most.url, "aws_endpoint_url_s3": s3.url})
        yield Place(most, s3, behind, client, site)


async def test_throttling_of_every_service_is_waited_out(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def soon(_self: ExponentialBackoff, _context: object) -> float:
        return 0.02

    monkeypatch.setattr(ExponentialBackoff, "delay_amount", soon)
    more_than_the_sdk_repeats = 6
    throughput = "The level of configured provisioned throughput for the table was exceeded."
    async with open_worker(place.settings):
        place.most.faults |= {
            "dynamodb TransactWriteItems": Fault(400, "ProvisionedThroughputExceededException", throughput),
            "sns PublishBatch": Fault(400, "Throttling", "Rate exceeded"),
            "sqs DeleteMessageBatch": Fault(403, "RequestThrottled", "Request is throttled."),
        }
        place.s3.faults["s3 PutObject"] = Fault(503, "SlowDown", "Please reduce your request rate.")
        faults = [*place.most.faults.values(), *place.s3.faults.values()]
        for fault in faults:
            fault.times = more_than_the_sdk_repeats
        asked = await place.client.ask(place.song())
        status = await place.client.status(asked)
        await place.client.drained()
        await place.client.heard_all()
    assert status.success
    assert [fault.times for fault in faults] == [0] * len(faults)
    assert place.client.answers() == {asked.request_id: 1}
    assert place.downloads == 1


async def test_a_bucket_that_may_not_be_written_ends_the_song_at_once(place: Place) -> None:
    denied = (
        "User: arn:aws:sts::123456789012:assumed-role/task/1 is not authorized to perform: s3:PutObject on resource:"
        ' "arn:aws:s3:::songs/audio/a.dca" because no identity-based policy allows the s3:PutObject action'
    )
    async with open_worker(place.settings):
        place.s3.faults["s3 PutObject"] = Fault(403, "AccessDenied", denied)
        with capture_logs() as logs:
            asked = await place.client.ask(place.song())
            status = await place.client.status(asked)
            await place.client.drained()
    assert (status.success, status.error_code) == (False, "storage_unavailable")
    (failed,) = [line for line in logs if line["event"] == "job.failed"]
    assert failed["detail"].startswith("S3_BUCKET_NAME: audio/")
    assert "AccessDenied: User: " in failed["detail"]
    assert "\n" not in failed["detail"]
    assert failed["final"]
    assert place.downloads == 1
    (letter,) = await place.client.broker.peek(f"{place.settings.topic_download_requests}.dlq")
    assert letter.headers["error_code"] == "storage_unavailable"


async def test_a_wrong_clock_ends_the_program_with_a_line_that_names_it(place: Place) -> None:
    expired = Fault(400, "InvalidSignatureException", _EXPIRED)
    lines: list[str] = []
    for counter, service, fault in (
        (place.most, "sqs", expired),
        (place.most, "dynamodb", expired),
        (place.s3, "s3", Fault(403, "RequestTimeTooSkewed", _SKEWED)),
    ):
        counter.faults[service] = fault
        lines.append(await failed_start(place.settings))
        del counter.faults[service]
    for line, setting in zip(lines, ("TOPIC_DOWNLOAD_REQUESTS", "DYNAMODB_TABLE_SONGS", "S3_BUCKET_NAME"), strict=True):
        assert line.startswith(setting), line
        assert "is this machine's clock right?" in line


async def failed_start(settings: AudioSettings) -> str:
    """Run the program, which ends with exit code 78; return the detail of its one line about that."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "audio_service"),
        cwd=ROOT,
        env=child_environment(environment_of(settings)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(patience(60)):
        output, _ = await process.communicate()
    assert process.returncode == os.EX_CONFIG, output.decode()
    (line,) = [json.loads(line) for line in output.splitlines() if b"program.failed" in line]
    return str(line["detail"])


@pytest.mark.timeout(600)  # a message that is cut off in spite of that costs it once
async def test_while_aws_is_away_health_says_so_and_then_every_request_is_answered_once(place: Place) -> None:
    """No lease expires and no answer of SQS with a message is cut off: each would cost the time of a lease."""
    begun = place.site.page(place.site.file(place.path, gate="half", hold=1000), title="Begun before")
    async with (
        open_audio_process(place.settings) as audio,
        httpx.AsyncClient(base_url=audio.url, timeout=patience(10)) as http,
    ):
        asked = [await place.client.ask(begun)]
        await place.site.gate("half").reached.wait()

        async def ailing() -> bool:
            parts = (await http.get("/api/v1/health")).json()["services"]
            return {name for name, part in parts.items() if part["status"] != "saludable"} >= {"sqs", "dynamo_db", "s3"}

        with place.most.away(), place.s3.away():
            await until(ailing)
            asked += [await place.client.ask(place.song(number)) for number in range(3) for _ in range(2)]
            place.site.gate("half").release()
            await until(lambda: place.most.dropped["sqs ReceiveMessage"] and place.s3.dropped["s3 PutObject"])
        ids = [request.request_id for request in asked]
        statuses = await place.client.all_of(ids)
        await place.client.drained()
        await place.client.heard_all()
    assert all(status.success for status in statuses), statuses
    assert place.client.answers() == dict.fromkeys(ids, 1)
    assert place.downloads == 4
