from __future__ import annotations

import asyncio
import os
import select
import signal
import sys
from collections.abc import AsyncGenerator, Iterable
from pathlib import Path

import pytest
import pytest_asyncio

from audio_service.children import child
from audio_service.children.jobs import ChildJob, ChildProgress, JsonObject
from audio_service.children.pool import ChildPool, open_children
from common.errors import (
    AppError,
    InternalError,
    MediaTooLarge,
    ProcessingCrashed,
    ProcessingLimitExceeded,
    ProcessingTimeout,
)
from tests.servers.reaper import child_environment
from tests.unit.audio_service.children import troubled_child
from tests.unit.audio_service.sources.conftest import settings_for
from tests.waiting import patience, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

MEMORY = 1024 * 1024 * 1024


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool() -> AsyncGenerator[ChildPool]:
    settings = settings_for("", child_memory_bytes=MEMORY, child_cpu_seconds=1)
    async with open_children(settings, module=troubled_child.__name__) as pool:
        yield pool


async def call(pool: ChildPool, kind: str, *, seconds: float = 30, **arguments: object) -> JsonObject:
    return await pool.call(ChildJob(kind, arguments), on_progress=lambda _: None, deadline_seconds=seconds)


async def assert_healthy(pool: ChildPool) -> None:
    assert (await call(pool, "echo", text="still here"))["text"] == "still here"
    assert len(pool.pids) == 1


async def test_a_warm_child_does_one_job_after_the_other(pool: ChildPool) -> None:
    told: list[ChildProgress] = []
    first = await pool.call(ChildJob("echo", {"text": "ñ"}), on_progress=told.append, deadline_seconds=30)
    second = await call(pool, "echo", text="again")
    assert first == {"text": "ñ", "pid": second["pid"]}
    assert told == [ChildProgress("encoding", 50.0)]


async def test_what_a_job_left_is_found_by_the_job_that_prefers_its_child_and_kept_from_others(
    tmp_path: Path,
) -> None:
    async def leave(*, something: bool, preferred: int | None = None) -> JsonObject:
        job = ChildJob("leave", {"something": something})
        return await pool.call(job, on_progress=lambda _: None, deadline_seconds=30, preferred=preferred)

    settings = settings_for("", child_memory_bytes=MEMORY, child_cpu_seconds=1)
    async with open_children(settings, size=2, module=troubled_child.__name__) as pool:
        os.mkfifo(tmp_path / "pipe")
        # Each end opens when the other one does: both children are at work.
        await asyncio.gather(*(call(pool, "meet", path=str(tmp_path / "pipe"), mode=mode) for mode in "rw"))
        first = await leave(something=True)
        for _ in range(3):
            other = await leave(something=False)
            assert (other["found"], other["pid"] == first["pid"]) == (False, False)
        again = await leave(something=False, preferred=first["pid"])
        assert again == {"found": True, "pid": first["pid"]}
        # One that is not there is nothing to wait for.
        assert not (await leave(something=False, preferred=0))["found"]


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL])
async def test_a_child_that_dies_is_told_with_its_signal_and_replaced(pool: ChildPool, number: signal.Signals) -> None:
    with pytest.raises(ProcessingCrashed, match=number.name):
        await call(pool, "crash", number=number)
    await assert_healthy(pool)


async def test_a_child_that_eats_memory_reaches_its_limit(pool: ChildPool) -> None:
    with pytest.raises(ProcessingLimitExceeded):
        await call(pool, "eat")
    await assert_healthy(pool)


async def test_a_child_that_spins_reaches_its_limit(pool: ChildPool) -> None:
    with pytest.raises(ProcessingLimitExceeded, match="CPU"):
        await call(pool, "spin")
    await assert_healthy(pool)


async def test_a_file_that_grows_and_grows_reaches_its_limit(pool: ChildPool, tmp_path: Path) -> None:
    with pytest.raises(MediaTooLarge):
        await call(pool, "write", path=str(tmp_path / "big"))
    await assert_healthy(pool)


async def test_a_hanging_child_is_killed_at_the_deadline_with_all_that_it_started(
    pool: ChildPool, tmp_path: Path
) -> None:
    before = pool.pids
    with pytest.raises(ProcessingTimeout):
        await call(pool, "hang_with_family", seconds=patience(5), note=str(tmp_path / "pid"))
    await gone([*before, int((tmp_path / "pid").read_text())])
    await assert_healthy(pool)


async def test_cancelling_the_caller_kills_the_child(pool: ChildPool) -> None:
    before, running = pool.pids, asyncio.Event()
    job = asyncio.ensure_future(
        pool.call(ChildJob("hang"), on_progress=lambda _: running.set(), deadline_seconds=30),
    )
    await running.wait()
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job
    await gone(before)
    await assert_healthy(pool)


async def test_waiting_for_a_free_child_counts(pool: ChildPool) -> None:
    running = asyncio.Event()
    hanging = asyncio.ensure_future(
        pool.call(ChildJob("hang"), on_progress=lambda _: running.set(), deadline_seconds=30),
    )
    await running.wait()
    with pytest.raises(ProcessingTimeout):
        await call(pool, "echo", seconds=0.1, text="")
    hanging.cancel()
    await asyncio.wait([hanging])
    await assert_healthy(pool)


async def test_what_libraries_print_is_no_answer(pool: ChildPool) -> None:
    assert await call(pool, "chatter") == {"stdin": ""}
    await assert_healthy(pool)


async def test_a_failure_nobody_foresaw_is_answered_and_the_child_goes_on(pool: ChildPool) -> None:
    before = pool.pids
    with pytest.raises(InternalError, match="no such job"):
        await call(pool, "unheard_of")
    assert pool.pids == before


async def test_children_know_no_secrets_and_no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("YOUTUBE_API_KEY", "DISCORD_TOKEN", "AWS_SECRET_ACCESS_KEY", "HTTPS_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "secret")
    async with open_children(settings_for(""), module=troubled_child.__name__) as pool:
        found = await call(pool, "environment")
    own = {"DENO_DIR", "DENO_NO_UPDATE_CHECK", "HOME", "LANG", "LC_CTYPE", "NO_COLOR", "PATH", "PYTHONPATH"}
    own |= {"PYTHONUNBUFFERED", "YTDLP_NO_PLUGINS"}
    assert set(found["names"]) <= own | {"AWS_CA_BUNDLE", "SSL_CERT_DIR", "SSL_CERT_FILE", "TZ"}
    assert not await asyncio.to_thread(Path(found["home"]).exists)


async def test_a_child_starts_the_javascript_runtime_and_nothing_else(pool: ChildPool) -> None:
    assert await call(pool, "start", program=["deno"]) == {"output": "42\n"}
    with pytest.raises(InternalError, match="ProgramRefused"):
        await call(pool, "start", program=["/bin/sh", "-c", "true"])


@pytest.mark.parametrize(
    ("family", "address"),
    [("AF_INET", ["127.0.0.1", 53]), ("AF_INET", ["localhost", 53]), ("AF_UNIX", ["/run/docker.sock"])],
)
async def test_sockets_of_every_kind_are_guarded(pool: ChildPool, family: str, address: list[object]) -> None:
    with pytest.raises(InternalError, match="AddressRefused"):
        await call(pool, "connect", family=family, address=address)


async def test_each_job_has_its_cpu_time_whatever_the_ones_before_it_used() -> None:
    async with open_children(settings_for("", child_cpu_seconds=1), module=troubled_child.__name__) as pool:
        pids = {(await call(pool, "burn", cpu_seconds=0.7))["pid"] for _ in range(4)}
    assert len(pids) == 1


async def test_between_jobs_a_child_may_warm_up_whatever_the_last_job_used(pool: ChildPool, tmp_path: Path) -> None:
    note = tmp_path / "unlimited"
    assert (await call(pool, "watch_cpu_limit", note=str(note)))["limit"] > 0
    await until(note.exists)


async def test_a_child_that_opens_files_without_end_reaches_its_limit(pool: ChildPool) -> None:
    with pytest.raises(InternalError, match="Too many open files"):
        await call(pool, "open", count=300)
    await assert_healthy(pool)


@pytest.mark.parametrize(
    ("limit", "value", "expected"), [("MAX_JOBS", 2, [0, 0, 1, 1]), ("MAX_RESIDENT_BYTES", 1, [0, 1, 2, 3])]
)
async def test_a_child_that_is_old_or_has_grown_is_replaced(
    monkeypatch: pytest.MonkeyPatch, limit: str, value: int, expected: list[int]
) -> None:
    monkeypatch.setattr(child, limit, value)
    async with open_children(settings_for(""), module=troubled_child.__name__) as pool:
        pids = [(await call(pool, "echo", text=""))["pid"] for _ in range(4)]
    assert [list(dict.fromkeys(pids)).index(pid) for pid in pids] == expected


@pytest.mark.parametrize("send", ["sendto", "sendmsg"])
async def test_datagrams_without_a_connection_are_guarded(pool: ChildPool, send: str) -> None:
    with pytest.raises(InternalError, match="AddressRefused"):
        await call(pool, "send", call=send, address=["127.0.0.1", 53])


@pytest.mark.parametrize("module", ["tests.no_such_module", "tests.servers.media_damage"])
async def test_a_child_that_does_not_get_ready_is_told_to_the_caller(module: str) -> None:
    async with open_children(settings_for(""), module=module) as pool:
        with pytest.raises(ProcessingCrashed):
            await call(pool, "echo", text="")


async def test_settings_that_a_child_refuses_are_told_to_the_caller() -> None:
    settings = settings_for("").model_copy(update={"network_allow": "not/a/network"})
    async with open_children(settings) as pool:
        with pytest.raises(AppError, match="not/a/network"):
            await call(pool, "echo", text="")


PARENT = """
import asyncio
from audio_service.children.pool import open_children
from audio_service.children.jobs import ChildJob
from tests.unit.audio_service.sources.conftest import settings_for

async def main():
    async with open_children(settings_for(""), module="tests.unit.audio_service.children.troubled_child") as pool:
        def tell(_):
            print(*pool.pids, flush=True)
        await pool.call(ChildJob("hang_with_family", {"note": "NOTE"}), on_progress=tell, deadline_seconds=60)

asyncio.run(main())
"""


async def test_children_do_not_outlive_a_parent_that_is_killed(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    parent = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PARENT.replace("NOTE", str(note)),
        stdout=asyncio.subprocess.PIPE,
        env=child_environment({**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}),
    )
    assert parent.stdout is not None
    pids = [int(pid) for pid in (await parent.stdout.readline()).split()]
    assert pids
    parent.kill()
    await parent.wait()
    await gone([*pids, int(note.read_text())])


async def gone(pids: Iterable[int]) -> None:
    """Wait until none of the processes runs (whoever must reap them may still have to)."""
    for pid in pids:
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            ready = await asyncio.to_thread(select.select, [handle], [], [], patience(20))
        finally:
            os.close(handle)
        assert ready[0], f"{pid} still runs"
