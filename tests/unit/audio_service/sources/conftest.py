"""What the tests of the sources share: a site, a warm pool that reaches it, and one way to run a URL through both."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio

from audio_service.audio.base import Origin
from audio_service.children.jobs import ChildProgress
from audio_service.children.pool import ChildPool, open_children
from audio_service.settings import AudioSettings
from audio_service.sources.base import Query, Resolved
from audio_service.sources.client import Fetched, fetch, open_ytdlp
from common.errors import SourceUnavailable
from tests.servers.media_site import MediaSite, open_media_site
from tests.servers.ports import free_port
from tests.waiting import patience

MAX_BYTES = 2_000_000
MAX_SECONDS = 60


def settings_for(allow: str, **changes: object) -> AudioSettings:
    values: dict[str, object] = {
        "network_allow": allow,
        # Two attempts fit into the minute after which a source that trickles is given up.
        "network_timeout_seconds": min(patience(10), 25),
        "num_workers": 1,
        "max_download_bytes": MAX_BYTES,
        "max_duration_seconds": MAX_SECONDS,
    }
    return AudioSettings.model_validate({**values, **changes})


@dataclass
class Bench:
    """A site and a pool; `made` is where the last song went."""

    site: MediaSite
    pool: ChildPool
    settings: AudioSettings
    directory: Path
    refusing: str
    progress: list[ChildProgress] = field(default_factory=list[ChildProgress])

    async def resolve(self, url: str) -> Resolved:
        query = Query(text=url, is_url=True, media_id=None, key="u-test")
        return await open_ytdlp(self.settings, self.pool).resolve(query)

    async def fetch(self, resolved: Resolved, *, seconds: float | None = None) -> Fetched:
        self._clear()
        return await fetch(
            self.pool,
            resolved,
            self.directory,
            origin=Origin(source="web", url=resolved.metadata.url, title=resolved.metadata.title),
            on_progress=self.progress.append,
            deadline_seconds=patience(30) if seconds is None else seconds,
        )

    async def run(self, url: str) -> Fetched:
        self._clear()
        return await self.fetch(await self.resolve(url))

    def leftovers(self) -> list[str]:
        return [path.name for path in self.directory.iterdir()]

    def _clear(self) -> None:
        """Remove what the test before this one has fetched: tests run in any order."""
        for old in self.directory.iterdir():
            old.unlink()


@pytest.fixture(scope="session")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("media")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bench(media: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Bench]:
    refusing = free_port()
    async with open_media_site(media) as site:
        settings = settings_for(f"{site.address},127.0.0.1:{refusing}")
        async with open_children(settings) as pool:
            bench = Bench(site, pool, settings, tmp_path_factory.mktemp("job"), f"http://127.0.0.1:{refusing}")
            with suppress(SourceUnavailable):  # the first job waits until the child is warm
                await bench.resolve(bench.refusing)
            yield bench


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def impatient(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Bench]:
    """The same site, and a pool that soon gives up on one that sends nothing."""
    settings = bench.settings.model_copy(update={"network_timeout_seconds": patience(0.5)})
    async with open_children(settings) as pool:
        impatient = Bench(bench.site, pool, settings, tmp_path_factory.mktemp("job"), bench.refusing)
        with suppress(SourceUnavailable):
            await impatient.resolve(bench.refusing)
        yield impatient
