"""`butakero import`: moves the library of the original system into the one that the settings choose."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from audio_service.importing.files import Folder, OriginalFiles, open_bucket
from audio_service.importing.importer import Importer, Outcome, Result
from audio_service.importing.libraries import library_at
from audio_service.media.repository import open_repository
from audio_service.workspace import open_workspace
from butakero.screen import plain
from butakero.shell import Shell
from butakero.texts import IMPORT_COUNT, IMPORT_DRY, IMPORT_LEFT_OUT, IMPORT_OUTCOMES, IMPORTING, NO_FOLDER
from common.blobs import open_blobs

EXIT_LEFT_OUT = 1
EXIT_USAGE = 2


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the original library is: records, and files in a folder or a bucket. `old` paths continue at `new`."""

    records: str
    folder: Path | None = None
    bucket: str = ""
    old: str = ""
    new: str = ""


def run_import(shell: Shell, origin: Origin, *, dry_run: bool) -> int:
    """Import, and print what came of it.

    Returns the exit code: 0 all finished songs are here, 1 some were left out, 2 the folder is not there.
    """
    if origin.folder is not None and not origin.folder.is_dir():
        shell.err.print(shell.say(NO_FOLDER, path=plain(str(origin.folder))), style="red")
        return EXIT_USAGE
    counts = asyncio.run(_import(shell, origin, dry_run=dry_run))
    for outcome in Outcome:
        if counts[outcome]:
            what = shell.say(IMPORT_OUTCOMES[outcome.value])
            shell.out.print(shell.say(IMPORT_COUNT, count=counts[outcome], what=what))
    if dry_run:
        shell.out.print(shell.say(IMPORT_DRY))
    return EXIT_LEFT_OUT if any(outcome.left_out for outcome in counts) else 0


async def _import(shell: Shell, origin: Origin, *, dry_run: bool) -> Counter[Outcome]:
    counts: Counter[Outcome] = Counter()
    library = library_at(origin.records, shell.settings)
    async with AsyncExitStack() as stack:
        importer = Importer(
            files=await stack.enter_async_context(_files(shell, origin)),
            repository=await stack.enter_async_context(open_repository(shell.settings)),
            blobs=await stack.enter_async_context(open_blobs(shell.settings)),
            workspace=stack.enter_context(open_workspace(shell.settings.temp_path)),
            dry_run=dry_run,
        )
        total = await library.count()
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        bar = stack.enter_context(Progress(*columns, console=shell.err))
        task = bar.add_task(shell.say(IMPORTING), total=total)
        async for document in library.records():
            result = await importer.take(document)
            counts[result.outcome] += 1
            bar.advance(task)
            if result.outcome.left_out:
                _tell(shell, result)
    return counts


def _tell(shell: Shell, result: Result) -> None:
    why = shell.say(IMPORT_OUTCOMES[result.outcome.value])
    words = shell.say(
        IMPORT_LEFT_OUT, media_id=result.media_id, title=plain(result.title), why=why, detail=plain(result.detail)
    )
    shell.out.print(words, soft_wrap=True)


@asynccontextmanager
async def _files(shell: Shell, origin: Origin) -> AsyncGenerator[OriginalFiles]:
    if origin.folder is not None:
        yield Folder(origin.folder, origin.old, origin.new)
        return
    async with open_bucket(origin.bucket, shell.settings) as files:
        yield files
