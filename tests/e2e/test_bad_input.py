"""Bad input, through the whole service: an error status with its code, a record that says why, nothing left."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable

import pytest
import pytest_asyncio

from audio_service.media.model import MediaStatus
from common.errors import error_for_code
from tests.servers.media_damage import flipped, truncated
from tests.servers.media_files import make
from tests.servers.system import System, open_system
from tests.waiting import patience

pytestmark = pytest.mark.asyncio(loop_scope="module")

ATTEMPTS = 2


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[System]:
    async with open_system(
        tmp_path_factory.mktemp("bad-input"),
        # Nobody listens there: allowed, so that it is the refusal that is seen.
        "127.0.0.1:1",
        service_max_attempts=ATTEMPTS,
        network_timeout_seconds=patience(1.0),
        max_duration_seconds=30,
        max_download_bytes=2_000_000,
    ) as running:
        yield running


def song_of(system: System, **query: str | int) -> str:
    """Return the URL of a good song, misbehaving as the query says."""
    return system.site.file(make("webm_opus", system.site.directory, 2.0), **query)


Song = Callable[[System], str]

PERMANENT: dict[str, tuple[Song, str]] = {
    "404": (lambda s: s.site.to("/status/404"), "media_not_found"),
    "403": (lambda s: s.site.to("/status/403"), "source_forbidden"),
    "not media": (lambda s: s.site.to("/body", text="just words", type="text/plain"), "media_unsupported"),
    "random bytes": (lambda s: s.site.to("/body", junk=50_000, type="audio/mpeg"), "media_unsupported|media_corrupt"),
    "corrupt": (
        lambda s: s.site.file(flipped(make("flac", s.site.directory, 2.0), count=4000)),
        "media_corrupt|media_unsupported",
    ),
    "zero length": (lambda s: s.site.to("/body", zeros=0, type="audio/mpeg"), "media_unsupported|media_corrupt"),
    "too long": (lambda s: s.site.file(make("webm_opus", s.site.directory, 40.0)), "media_too_long"),
    "too long as announced": (lambda s: s.site.jsonld(song_of(s), seconds=4000), "media_too_long"),
    "too large": (lambda s: s.site.file(make("wav", s.site.directory, 25.0)), "media_too_large"),
    "endless": (lambda s: s.site.to("/endless.wav"), "media_too_large|media_too_long"),
    "live": (lambda s: s.site.live(make("hls", s.site.directory, 4.0)), "media_live"),
    "duration bomb": (
        lambda s: s.site.file(make("flac", s.site.directory, 600.0, sound="silence")),
        "media_too_long",
    ),
    "gzip page": (lambda s: s.site.to("/gzip-page"), "media_too_large|processing_limit|media_unsupported"),
    "gzip media": (lambda s: s.site.to("/gzip-media.mp3"), "media_too_large|processing_limit|media_unsupported"),
    "file": (lambda _: "file:///etc/passwd", "url_not_allowed"),
    "ftp": (lambda _: "ftp://example.org/song.mp3", "url_not_allowed"),
    "private": (lambda _: "http://10.0.0.1/song.mp3", "url_not_allowed"),
    "loopback": (lambda _: "http://127.0.0.1:9/song.mp3", "url_not_allowed"),
    "decimal loopback": (lambda _: "http://2130706433:9/song.mp3", "url_not_allowed"),
    "mapped": (lambda _: "http://[::ffff:127.0.0.1]:9/song.mp3", "url_not_allowed"),
    "link-local": (lambda _: "http://169.254.10.10/song.mp3", "url_not_allowed"),
    "metadata": (lambda _: "http://169.254.169.254/latest/meta-data/", "url_not_allowed"),
    "localhost by name": (lambda _: "http://localhost:9/song.mp3", "url_not_allowed"),
    "redirect to private": (lambda s: s.site.redirect("http://10.0.0.1/song.mp3"), "url_not_allowed"),
    "redirect to file": (lambda s: s.site.redirect("file:///etc/passwd"), "url_not_allowed"),
    "source inside": (lambda s: s.site.page("http://10.0.0.1/song.mp3"), "url_not_allowed"),
    "segment inside": (lambda s: s.site.playlist("http://10.0.0.1/segment.ts"), "url_not_allowed"),
    "too many redirects": (lambda s: s.site.redirect(song_of(s), hops=30), "source_unavailable|url_not_allowed"),
}

TRANSIENT: dict[str, tuple[Song, str]] = {
    "500": (lambda s: s.site.to("/status/500"), "source_unavailable"),
    "refused": (lambda _: "http://127.0.0.1:1/song.mp3", "source_unavailable"),
    "no such name": (lambda _: "http://no-such-host.invalid/song.mp3", "source_unavailable"),
    "stalled": (lambda s: s.site.page(song_of(s, stall=4000)), "source_truncated|source_unavailable"),
    "truncated": (lambda s: s.site.page(song_of(s, cut=4000, ranges="no")), "source_truncated|source_unavailable"),
}


async def failed(system: System, song: str) -> tuple[str, int]:
    """Ask for a song that cannot be had; return the code, and how often it was tried."""
    retries = system.services.metrics.retries
    before = sum(sample.value for metric in retries.collect() for sample in metric.samples if "total" in sample.name)
    request = await system.client.ask(song)
    status = await system.client.status(request)
    await system.client.drained()
    after = sum(sample.value for metric in retries.collect() for sample in metric.samples if "total" in sample.name)
    code = status.error_code or ""
    assert not status.success
    assert status.status == "error"
    assert status.message == error_for_code(code).message()
    assert system.client.answers()[request.request_id] == 1
    record = await system.services.repository.get(status.video_id)
    assert record is not None
    assert (record.status, record.error_code, record.message) == (MediaStatus.ERROR, code, status.message)
    assert not list(system.services.workspace.root.glob("job-*"))
    return code, 1 + int(after - before)


@pytest.mark.parametrize("case", PERMANENT)
async def test_a_permanent_error_is_told_at_once_and_not_retried(system: System, case: str) -> None:
    song, codes = PERMANENT[case]
    code, attempts = await failed(system, song(system))
    assert code in codes.split("|")
    assert attempts == 1


@pytest.mark.parametrize("case", TRANSIENT)
async def test_a_transient_error_is_retried_before_it_is_told(system: System, case: str) -> None:
    song, codes = TRANSIENT[case]
    code, attempts = await failed(system, song(system))
    assert code in codes.split("|")
    assert attempts == ATTEMPTS


async def test_a_source_that_recovers_is_worth_the_retry(system: System) -> None:
    status = await system.client.status(await system.client.ask(song_of(system, fail=503, times=1)))
    assert status.success, status


@pytest.mark.parametrize(
    ("song", "provider", "code"),
    [
        ("", "youtube", "invalid_input"),
        ("   ", "youtube", "invalid_input"),
        ("x" * 5000, "youtube", "invalid_input"),
        ("a song", "napster", "provider_not_found"),
        ("a song", "", "provider_not_found"),
    ],
)
async def test_a_request_that_makes_no_sense_is_answered(system: System, song: str, provider: str, code: str) -> None:
    status = await system.client.status(await system.client.ask(song, provider=provider))
    assert status.error_code == code


async def test_a_truncated_container_leaves_no_half_song(system: System) -> None:
    song = truncated(make("m4a", system.site.directory, 5.0), 0.5)
    code, _ = await failed(system, system.site.file(song))
    assert code in {"media_corrupt", "media_unsupported"}


async def test_the_service_is_well_after_all_that(system: System) -> None:
    status = await system.client.status(await system.client.ask(song_of(system, after="all")))
    assert status.success, status
