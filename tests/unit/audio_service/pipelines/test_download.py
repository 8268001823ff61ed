"""The download pipeline's decisions, where no source has to be asked: on a SQLite library and a local blob store."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from audio_service.media.model import Encoding, MediaStatus, audio_key
from audio_service.media.repository.base import Owned, StoredMedia, Waiter
from audio_service.pipelines.download import DOWNLOADS, DownloadJob, claim_record, download, fail
from audio_service.pipelines.download_messages import DownloadProgress
from audio_service.services import Services
from audio_service.sources.base import Query, Resolved
from audio_service.sources.query import parse_query
from audio_service.worker.pipeline import HandBack, Job, Outcome
from common.dca import DcaMetadata, DcaWriter
from common.errors import InvalidInput, MediaPrivate, ProcessingTimeout, ProviderNotFound, UrlNotAllowed
from common.messages.base import parse, salvage
from common.messages.downloads import DownloadRequest, FileData, PlatformMetadata, ProgressEvent, StatusEvent

LEASE = timedelta(minutes=1)
SONG = "dua lipa new rules"
RECORD = "k2qgadSvNyU"
METADATA = PlatformMetadata(title="Dua Lipa - New Rules", duration_ms=40, platform="YouTube")
STORED = StoredMedia(METADATA, FileData(file_path=audio_key(RECORD)), 9, Encoding("passthrough", "", 2, "00"), "ok")


def job_for(song: str = SONG, provider: str = "youtube") -> DownloadJob:
    return Job(DownloadRequest.new(song, user_id="42", provider_type=provider), owner="here")


async def run(job: DownloadJob, services: Services) -> Outcome | None:
    return await download(job, services, DownloadProgress(job, services))


def told(outcome: Outcome | None) -> list[StatusEvent]:
    assert outcome is not None
    return [parse(StatusEvent, status.message.to_bytes()) for status in outcome.statuses]


async def resolved(services: Services, job: DownloadJob) -> None:
    """Remember what the job's words resolve to, so that no source is asked."""
    query = parse_query(job.request.song, services.settings.youtube_watch_url)
    await services.repository.remember(query.key, RECORD, METADATA, LEASE)


async def finished(services: Services) -> None:
    """Put a finished record into the library, and its file into the store."""
    claim = await services.repository.claim(RECORD, Waiter("earlier", "1"), METADATA, LEASE)
    assert isinstance(claim, Owned)
    await services.repository.mark_success(RECORD, claim.fence, STORED)
    await services.repository.settle(RECORD, claim.fence, ["earlier"], keep=LEASE)
    await store_file(services)


async def store_file(services: Services, **noted: str) -> None:
    path = Path(services.settings.temp_path) / "song.dca"
    with path.open("wb") as file:
        writer = DcaWriter(file, DcaMetadata(extra={"mode": "passthrough", "reason": "opus 48k 20ms", **noted}))
        writer.write(b"\xfc\xff\xfe")
        writer.write(b"\xfc\xff\xfe")
        writer.flush()
    await services.blobs.put(audio_key(RECORD), path)


@pytest.mark.parametrize(
    ("song", "provider", "error"),
    [
        (SONG, "spotify", ProviderNotFound),
        ("", "youtube", InvalidInput),
        ("file:///etc/passwd", "youtube", UrlNotAllowed),
    ],
)
async def test_what_makes_no_sense_is_refused_before_anything_is_claimed(
    services: Services, song: str, provider: str, error: type[Exception]
) -> None:
    job = job_for(song, provider)
    with pytest.raises(error):
        await run(job, services)
    assert job.fence is None


async def test_a_song_of_the_library_is_answered_without_a_waiting_list(services: Services) -> None:
    job = job_for()
    await resolved(services, job)
    await finished(services)
    outcome = await run(job, services)
    [status] = told(outcome)
    assert (status.request_id, status.video_id, status.success) == (job.request.request_id, RECORD, True)
    assert status.file_data.file_path == audio_key(RECORD)
    assert outcome is not None
    assert outcome.settle is None


async def test_a_request_for_a_record_that_another_job_makes_joins_it_and_is_told_which(services: Services) -> None:
    job = job_for()
    await resolved(services, job)
    await services.repository.claim(RECORD, Waiter("owner", "1"), METADATA, LEASE)
    assert await run(job, services) is None
    assert await services.repository.waits_for(job.request.request_id) == RECORD
    messages = await services.broker.peek(services.settings.topic_download_progress)
    events = [parse(ProgressEvent, message.value) for message in messages if message.key == RECORD]
    assert [(event.request_id, event.stage) for event in events] == [(job.request.request_id, "downloading")]


async def test_an_outcome_that_was_never_announced_is_announced_to_all_who_wait(services: Services) -> None:
    claim = await services.repository.claim(RECORD, Waiter("dead", "1"), METADATA, timedelta(0))
    assert isinstance(claim, Owned)
    await services.repository.mark_success(RECORD, claim.fence, STORED)
    await store_file(services)
    job = job_for()
    await resolved(services, job)
    outcome = await run(job, services)
    assert {status.request_id for status in told(outcome)} == {"dead", job.request.request_id}
    assert outcome is not None
    assert outcome.settle is not None
    assert job.fence is not None
    assert await outcome.settle(["dead"]) != []
    assert await outcome.settle([job.request.request_id]) == []
    assert await services.repository.is_answered("dead")


async def test_a_finished_record_whose_file_is_gone_is_claimed_anew(services: Services) -> None:
    await finished(services)
    await services.blobs.delete(audio_key(RECORD))
    assert isinstance(await claim_record(job_for(), Resolved(RECORD, METADATA), services), Owned)


async def test_a_later_attempt_fails_on_the_record_that_an_earlier_one_claimed(services: Services) -> None:
    job = job_for()
    await services.repository.claim(RECORD, Waiter(job.request.request_id, "42"), METADATA, timedelta(0))
    job.record_id = "another-record"
    [status] = told(await fail(job, services, MediaPrivate("x")))
    assert status.video_id == RECORD


async def test_a_file_that_a_dead_worker_stored_is_adopted(services: Services) -> None:
    await store_file(services)
    job = job_for()
    await resolved(services, job)
    [status] = told(await run(job, services))
    assert status.success
    assert status.platform_metadata.duration_ms == 40
    record = await services.repository.get(RECORD)
    assert record is not None
    assert record.status is MediaStatus.SUCCESS
    assert services.registry.get_sample_value("butakero_cache_hits_total", {"what": "file"}) == 1


@pytest.mark.parametrize(
    ("noted", "told_in_the_record"),
    [
        ("stated", "codec mp3"),
        ("not stated", "codec mp3; length not stated"),
        ("by its end", "codec mp3; not known whether the length is stated"),
    ],
)
async def test_a_file_that_is_adopted_keeps_the_note_on_its_length(
    services: Services, noted: str, told_in_the_record: str
) -> None:
    await store_file(services, reason="codec mp3", length=noted)
    job = job_for()
    await resolved(services, job)
    await run(job, services)
    record = await services.repository.get(RECORD)
    assert record is not None
    assert record.encoding is not None
    assert record.encoding.reason == told_in_the_record


async def test_a_failure_is_recorded_for_every_request_that_waits(services: Services) -> None:
    job = job_for()
    claim = await services.repository.claim(RECORD, Waiter(job.request.request_id, "42"), METADATA, LEASE)
    assert isinstance(claim, Owned)
    job.record_id, job.fence = RECORD, claim.fence
    await services.repository.claim(RECORD, Waiter("joined", "43"), METADATA, LEASE)
    statuses = told(await fail(job, services, MediaPrivate("x")))
    assert {(status.request_id, status.error_code) for status in statuses} == {
        (job.request.request_id, "media_private"),
        ("joined", "media_private"),
    }


async def test_a_failure_before_any_record_was_known_has_one_that_shows_what_was_asked(services: Services) -> None:
    job = job_for("  words that no search finds ")
    [status] = told(await fail(job, services, MediaPrivate("x")))
    record = await services.repository.get(status.video_id)
    assert record is not None
    assert record.metadata.title == "words that no search finds"
    assert record.error_code == "media_private"


async def test_a_blank_request_is_answered_without_a_record(services: Services) -> None:
    job = job_for("   ")
    [status] = told(await fail(job, services, InvalidInput("blank")))
    assert (status.request_id, status.video_id, status.error_code) == (job.request.request_id, "", "invalid_input")
    assert not (await services.repository.list()).items


async def test_a_failure_waits_while_its_record_is_being_settled(services: Services) -> None:
    claim = await services.repository.claim(RECORD, Waiter("owner", "1"), METADATA, LEASE)
    assert isinstance(claim, Owned)
    await services.repository.mark_error(RECORD, claim.fence, error_code="media_private", message="no")
    job = job_for()
    job.record_id = RECORD
    with pytest.raises(HandBack):
        await fail(job, services, MediaPrivate("x"))


def test_a_request_that_does_not_parse_is_refused_to_its_sender(services: Services) -> None:
    salvaged = salvage(DownloadRequest, b'{"request_id": "r", "user_id": "42"}', {})
    refused = DOWNLOADS.refusal(salvaged, services, InvalidInput("x"))
    status = parse(StatusEvent, refused.message.to_bytes())
    assert (status.request_id, status.user_id, status.video_id) == ("r", "42", "")
    assert (status.success, status.error_code, refused.error_code) == (False, "invalid_input", "invalid_input")


async def test_a_resolution_that_hangs_ends_with_the_job(services: Services) -> None:
    class Hanging:
        async def resolve(self, _query: Query) -> Resolved:
            await asyncio.Event().wait()
            raise AssertionError

    job = job_for()
    job.deadline_seconds = 0.05
    with pytest.raises(ProcessingTimeout):
        await run(job, replace(services, source=Hanging()))
