"""What is left when something was killed: counted in one place, asserted, and printed as a row of the crash matrix."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from audio_service.media.repository import open_repository
from audio_service.settings import AudioSettings
from tests.reporting import Table
from tests.servers.media_site import MediaSite
from tests.servers.system import Client

TITLE = "crash matrix (kill -9; a duplicate is a second status of one request id, which the bot drops)"
HEADINGS = (
    "killed", "backends", "requests", "statuses", "duplicates: expected", "seen", "songs", "downloads", "stuck",
    "seconds until the last answer",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Expected:
    """What a case may leave: how many second statuses, and how many downloads of each song."""

    duplicates: int = 0
    downloads: Collection[int] = (1,)


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that was killed, and what was asked of the system around it."""

    killed: str
    settings: AudioSettings
    site: MediaSite
    songs: Sequence[Path]
    request_ids: Sequence[str]

    async def judge(self, client: Client, tables: list[Table], *, expected: Expected, seconds: float) -> None:
        """When everything was answered: count what is left, note it in the table, and fail unless it is as expected."""
        await client.drained()
        await client.heard_all()
        answers = client.answers()
        statuses = sum(answers[request_id] for request_id in self.request_ids)
        duplicates = statuses - sum(1 for request_id in self.request_ids if answers[request_id])
        downloads = [self.site.gets[self.site.file_path(song)] for song in self.songs]
        stuck = await self._stuck()
        table_of(tables).rows.append((
            self.killed,
            f"{self.settings.messaging_backend}, {self.settings.database_backend}",
            *(str(count) for count in (len(self.request_ids), statuses, expected.duplicates, duplicates)),
            *(str(count) for count in (len(self.songs), sum(downloads), len(stuck))),
            f"{seconds:.1f}",
        ))  # fmt: skip
        assert set(answers) == set(self.request_ids), (self.killed, answers)
        assert duplicates == expected.duplicates, (self.killed, answers)
        assert set(downloads) <= set(expected.downloads), (self.killed, downloads)
        assert not stuck, (self.killed, stuck)

    async def _stuck(self) -> list[str]:
        """Return the records that are not finished, and the requests that still wait for one."""
        async with open_repository(self.settings) as repository:
            records = (await repository.list(limit=100)).items
            waiting = [request for request in self.request_ids if await repository.waits_for(request)]
            assert len(records) == len(self.songs), (self.killed, records)
            return [*(record.video_id for record in records if record.status != "success"), *waiting]


def table_of(tables: list[Table]) -> Table:
    """Return the crash matrix among the run's tables."""
    for table in tables:
        if table.title == TITLE:
            return table
    tables.append(Table(TITLE, HEADINGS))
    return tables[-1]
