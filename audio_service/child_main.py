"""The child process: `python -m audio_service.child_main`, started by `children`. It knows every job that a child runs.

It reads jobs from its stdin and answers on its stdout; both descriptors are then redirected, so that nothing a library
prints can be taken for an answer. It sets its limits and its guard before the first job, and kills its process group
when the pipe ends. The service's own process never imports this module.
"""

from __future__ import annotations

import errno
import logging
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Any, BinaryIO, cast

from deno import find_deno_bin  # pyright: ignore[reportMissingTypeStubs] - one annotated function, no py.typed

from audio_service.addresses import parse_allow
from audio_service.audio.base import EncodeOptions, Origin, WholeFileNeededError
from audio_service.children.jobs import (
    HEADER,
    ChildProgress,
    ChildSettings,
    JsonObject,
    OnProgress,
    body_length,
    pack,
    unpack,
)
from audio_service.children.limits import (
    ResourceLimits,
    end_group,
    end_with_parent,
    lift_job_limit,
    limit_job,
    limit_process,
    resident_memory,
)
from audio_service.sources.guard import Guard
from audio_service.sources.ytdlp.extractor import ENVIRONMENT, Extractor
from audio_service.sources.ytdlp.fetching import FetchJob, StrayThreadError, fetch
from common.errors import AppError, InternalError, MediaTooLarge, ProcessingLimitExceeded, StorageFull

_END = object()
# The service that starts this child is starting as well: warming up waits until the cores are free.
_START_REST_SECONDS = 1.0
# Warming up takes 27 MB; under a lower limit a job needs them more.
_WARM_UP_BYTES = 256 * 1024 * 1024
# What a resolution holds is for the download that follows it, which waits for no more than a claim.
_HOLD_SECONDS = 15.0


class Pipe:
    """Both ends of the pipe. A thread reads while a job runs, to notice the end of the service."""

    def __init__(self) -> None:
        self._read: BinaryIO = os.fdopen(os.dup(0), "rb")
        self._write: BinaryIO = os.fdopen(os.dup(1), "wb", buffering=0)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        os.dup2(2, 1)
        self._messages: SimpleQueue[JsonObject] = SimpleQueue()
        self._sending = Lock()
        Thread(target=self._listen, daemon=True).start()

    def receive(self) -> JsonObject:
        """Wait for a message."""
        return self._messages.get()

    def receive_within(self, seconds: float) -> JsonObject | None:
        """Wait for a message; None after `seconds`."""
        try:
            return self._messages.get(timeout=seconds)
        except Empty:
            return None

    @property
    def silent(self) -> bool:
        """Whether no message is queued."""
        return self._messages.empty()

    def send(self, message: JsonObject) -> None:
        """Send a message. Thread-safe."""
        data = memoryview(pack(message))
        with self._sending:
            while data:
                data = data[self._write.write(data) :]

    def _listen(self) -> None:
        try:
            while len(header := self._read.read(HEADER.size)) == HEADER.size:
                self._messages.put(unpack(self._read.read(body_length(header))))
        finally:
            end_group()


class JobRunner:
    """Runs the jobs of one child."""

    def __init__(self, settings: ChildSettings) -> None:
        javascript = find_deno_bin()
        guard = Guard(parse_allow(settings.network_allow), {javascript})
        self._extractor = Extractor(settings, guard, javascript)
        self._options = EncodeOptions(
            bitrate=settings.opus_bitrate,
            complexity=settings.opus_complexity,
            max_duration_ms=settings.max_duration * 1000,
            language=settings.language,
        )
        guard.install()
        self._guard = guard

    @property
    def holds(self) -> bool:
        """Whether the last job left something for the next one."""
        return self._extractor.holds

    def let_go(self) -> None:
        """Close what the last job left."""
        self._extractor.let_go()

    def get_warm(self) -> Iterator[None]:
        """Do in small steps what the first job would otherwise wait for."""
        return self._extractor.get_warm()

    def do(self, kind: str, arguments: dict[str, Any], report: OnProgress) -> JsonObject:
        """Run one job. Raises AppError, MemoryError, OSError and StrayThreadError; see `_failure`."""
        match kind:
            case "resolve":
                return self._extractor.resolve(**arguments)
            case "list":
                return self._extractor.list_items(**arguments)
            case "fetch":
                job = FetchJob(origin=Origin(**arguments.pop("origin")), **arguments)
                return fetch(self._extractor, job, self._options, report)
            case "describe":
                return _describe(arguments)
            case "message":
                return _make_message(arguments, self._options, self._guard, report)
            case _:
                raise InternalError(f"no such job: {kind}")


def _describe(arguments: JsonObject) -> JsonObject:
    """Say what a file is that begins with `head`, in hexadecimal digits."""
    from audio_service.audio.contents import describe  # noqa: PLC0415 - loads libmagic

    return {"description": describe(bytes.fromhex(arguments["head"]))}


def _make_message(arguments: JsonObject, options: EncodeOptions, guard: Guard, report: OnProgress) -> JsonObject:
    """Make an audio message (see `audio.message`) of a file: `path` of this machine, or the fields of a RemoteBlob.

    FFmpeg is loaded by the first.
    """
    from audio_service.audio.message import make_message  # noqa: PLC0415 - as the docstring says

    def on_played(made_ms: int, stated_ms: int | None) -> None:
        report(ChildProgress("encoding", percent=min(100.0, made_ms * 100 / stated_ms) if stated_ms else None))

    def make(source: BinaryIO) -> JsonObject:
        directory, demuxer = Path(arguments["directory"]), arguments["demuxer"]
        return asdict(make_message(source, directory, demuxer=demuxer, options=options, on_played=on_played))

    if "path" in arguments:
        with Path(arguments["path"]).open("rb") as file:
            return make(file)
    from audio_service.sources.remote_file import ReadInOrder, RemoteBlob, open_remote  # noqa: PLC0415 - imports httpx

    blob = RemoteBlob(**arguments["remote"])
    with guard.trusting(blob.url), open_remote(blob) as opened:
        remote = cast("BinaryIO", opened)
        try:
            return make(cast("BinaryIO", ReadInOrder(remote)))
        except WholeFileNeededError:
            remote.seek(0)
            return make(remote)


def main() -> None:
    """Serve until the pipe ends."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(message)s")
    end_with_parent(end_group)
    os.environ.update(ENVIRONMENT)
    pipe = Pipe()
    settings = ChildSettings(**pipe.receive())
    limits = ResourceLimits(settings.memory_bytes, settings.max_download_bytes, settings.cpu_seconds)
    try:
        runner = JobRunner(settings)
    except Exception as exc:  # noqa: BLE001 - the service is sent the reason
        pipe.send(_failure(exc, "cannot start: "))
        return
    limit_process(limits)
    pipe.send({"ready": True})
    steps: Iterator[None] = runner.get_warm() if settings.memory_bytes >= _WARM_UP_BYTES else iter(())
    while True:
        job = pipe.receive_within(_START_REST_SECONDS)
        if job is None:
            # A job that arrives now waits for one step; the remaining steps wait for the job.
            work_while(lambda: pipe.silent, steps)
            job = next_job(runner, pipe)
        limit_job(limits)
        outcome = _outcome(runner, job, pipe)
        lift_job_limit()
        pipe.send({**outcome, "resident_bytes": resident_memory(), "holds": runner.holds})


def next_job(runner: JobRunner, pipe: Pipe) -> JsonObject:
    """Wait for a job, and let go of what is held when none comes."""
    if runner.holds:
        if (job := pipe.receive_within(_HOLD_SECONDS)) is not None:
            return job
        runner.let_go()
    return pipe.receive()


def work_while(idle: Callable[[], bool], steps: Iterator[None]) -> None:
    """Take steps until `idle` is false or they are exhausted."""
    while idle() and next(steps, _END) is not _END:
        pass


def _outcome(runner: JobRunner, job: JsonObject, pipe: Pipe) -> JsonObject:
    def report(progress: ChildProgress) -> None:
        pipe.send({"progress": asdict(progress)})

    try:
        return {"result": runner.do(job["kind"], job["arguments"], report)}
    except StrayThreadError as exc:
        return {**_failure(exc.__cause__ or exc), "spent": True}
    except MemoryError as exc:
        return {**_failure(exc), "spent": True}
    except Exception as exc:  # noqa: BLE001 - every failure is answered; the child stays usable
        return _failure(exc)


def _failure(exc: BaseException, prefix: str = "") -> JsonObject:
    match exc:
        case AppError():
            error = exc
        case MemoryError():
            error = ProcessingLimitExceeded("out of memory")
        case OSError(errno=errno.ENOSPC | errno.EDQUOT):
            error = StorageFull(str(exc))
        case OSError(errno=errno.EFBIG):
            error = MediaTooLarge("a file grew over its limit")
        case _:
            error = InternalError(f"{prefix}{type(exc).__name__}: {exc}")
            logging.getLogger(__name__).error("unexpected", exc_info=exc)
    return {"error": {"code": error.code, "detail": error.detail, "retryable": error.retryable}}


if __name__ == "__main__":
    main()
