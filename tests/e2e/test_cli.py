"""The command line as people meet it: real processes, a real service, a song site on loopback."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import uuid
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from butakero.demo_site import DemoSite, open_demo_site
from butakero.service import open_port
from common.broker import open_broker
from common.broker.base import Broker
from common.messages.downloads import StatusEvent
from tests.e2e.cli_program import Place, command, shown_json
from tests.servers.reaper import child_environment
from tests.waiting import patience

REQUESTS = "bot.download.requests"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@dataclass(frozen=True, slots=True)
class Town:
    """A place with a service that is up, and a site whose songs it may fetch."""

    place: Place
    site: DemoSite


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Generator[Town]:
    path = tmp_path_factory.mktemp("town")
    with open_demo_site(path / "site") as site:
        place = Place(path, {"NETWORK_ALLOW": site.address, "RETRY_BASE_SECONDS": "0.01"})
        with place.start("up") as running:
            running.until("Ctrl-C")
            yield Town(place, site)


# --- up


def test_the_first_run_does_the_main_job_and_the_second_finds_the_song(place: Place) -> None:
    with place.start("up", "--demo") as first:
        first.until("Ctrl-C")
        answer = shown_json(first)
        assert answer["success"] is True
        assert answer["data"]["status"] == "success"
        assert answer["data"]["metadata"]["title"] == "Butakero - Milonga de prueba"
        stored = place.path / "data" / "storage" / answer["data"]["file_data"]["file_path"]
        assert any("Ready: Butakero" in line for line in first.lines)
        assert any("Downloading" in line for line in first.lines)
        for address in ("/docs", "/metrics", "/api/v1/health", "data/logs/audio_service.log"):
            assert any(address in line for line in first.lines), address
        (chat,) = (line.split()[-1] for line in first.lines if "/chats/demo" in line)
        assert 'data-uploads="on"' in httpx.get(chat, timeout=patience(60), trust_env=False).text
        descendants = first.descendants()
        assert descendants
        first.press_ctrl_c()
        assert "has stopped" in first.rest()
        assert first.process.returncode == 0
        assert not psutil.wait_procs(descendants, timeout=patience(10))[1]
    assert [entry.name for entry in place.path.iterdir()] == ["data"]

    with place.start("up", "--demo") as second:
        second.until("Ctrl-C")
        assert any("in the library already: Butakero" in line for line in second.lines)
        assert shown_json(second)["data"] == answer["data"]
        second.process.terminate()
        second.rest()
        assert second.process.returncode == 0

    inspected = place.run("inspect", str(stored))
    assert inspected.returncode == 0
    assert "Opus packets copied" in inspected.stdout
    listed = place.run("library", "list").stdout.splitlines()
    assert listed[1].startswith(f"Butakero - Milonga de prueba\t{answer['data']['video_id']}\t0:08\t")


def test_a_song_that_fails_says_why_and_the_service_stays(place: Place) -> None:
    with place.start("up", "--song", "http://127.0.0.1:9/x") as running:
        running.until("(url_not_allowed)")
        running.until("Ctrl-C")
        running.press_ctrl_c()
        running.rest()
        assert running.process.returncode == 0


def test_a_taken_port_is_one_line_that_names_the_setting(place: Place) -> None:
    with closing(socket.create_server(("127.0.0.1", int(place.environment["HTTP_PORT"])))):
        done = place.run("up", "--demo")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "HTTP_PORT" in done.stderr


def test_a_service_that_dies_at_start_is_quoted(place: Place) -> None:
    place.environment["SQLITE_PATH"] = "/proc/library.db"
    done = place.run("up")
    assert done.returncode == 1
    assert "did not start (exit code 1)" in done.stderr
    assert "SQLITE_PATH" in done.stderr
    assert "data/logs/audio_service.log" in done.stderr


def test_a_stuck_start_ends(place: Place) -> None:
    done = place.run("up", "--start-timeout", "0.1")
    assert done.returncode == 1
    assert "was not ready within" in done.stderr


def test_a_crash_of_the_service_ends_up_at_once(place: Place) -> None:
    with place.start("up") as running:
        running.until("Ctrl-C")
        descendants = running.descendants()
        running.service().kill()
        assert "ended by itself (exit code 137)" in running.rest()
        assert running.process.returncode == 137
    assert not psutil.wait_procs(descendants, timeout=patience(10))[1]


def test_kill_9_of_up_ends_the_service_and_its_children_and_frees_the_port(place: Place) -> None:
    with place.start("up") as running:
        running.until("Ctrl-C")
        descendants = running.descendants()
        assert len(descendants) > 1
        running.process.kill()
        running.process.wait(patience())
        assert not psutil.wait_procs(descendants, timeout=patience(30))[1]
    open_port("127.0.0.1", int(place.environment["HTTP_PORT"])).close()
    # It has drained as after a signal, so its deliveries are handed back.
    assert "program.draining" in (place.path / "data" / "logs" / "audio_service.log").read_text()


@pytest.mark.parametrize("module", ["typer", "audio_service.settings", "butakero.texts"])
def test_ctrl_c_while_the_command_loads_is_silent(place: Place, module: str) -> None:
    """The first second of a command is imports; the interrupt arrives in the midst of one of them."""
    (place.path / "sitecustomize.py").write_text(
        "import os, signal, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {module!r}:\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder())\n"
    )
    place.environment["PYTHONPATH"] = str(place.path)
    done = place.run("up")  # asserts that there is no traceback
    assert done.returncode in {-signal.SIGINT, 130}
    assert done.stdout + done.stderr == ""


def test_a_second_up_at_the_same_time_says_that_the_port_is_taken(place: Place) -> None:
    with place.start("up") as first:
        first.until("Starting")  # it has its port, its service does not answer yet
        second = place.run("up")
        first.until("Ctrl-C")
    assert second.returncode == 1
    assert "is running" not in second.stdout
    assert "HTTP_PORT" in second.stderr


def test_a_closed_terminal_stops_the_service_as_gently(place: Place) -> None:
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        command("up", "--demo"),
        cwd=place.path,
        env=child_environment({**place.environment, "TERM": "xterm"}),
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        shown = b""
        while b"Ctrl-C" not in shown:
            shown += os.read(ours, 65536)
        descendants = psutil.Process(process.pid).children(recursive=True)
    finally:
        os.close(ours)
        process.send_signal(signal.SIGHUP)
        process.wait(patience())
    assert not psutil.wait_procs(descendants, timeout=patience(10))[1]
    assert "program.draining" in (place.path / "data" / "logs" / "audio_service.log").read_text()
    # A terminal was there, so the progress was a bar.
    assert "Looking it up \x1b" in shown.decode()


def test_wrong_settings_are_named(place: Place) -> None:
    place.environment["NUM_WORKERS"] = "many"
    for arguments in (["up"], ["request", "x"]):
        done = place.run(*arguments)
        assert done.returncode == 78
        assert done.stderr.startswith("NUM_WORKERS: ")


def test_the_dot_env_file_counts_and_the_environment_stands_above_it(place: Place) -> None:
    (place.path / ".env").write_text("LOCALE=es\nNUM_WORKERS=many\n")
    place.environment["NUM_WORKERS"] = "1"
    del place.environment["LOCALE"]
    assert "La biblioteca está vacía" in place.run("library", "list").stdout


# --- request


def test_a_request_ends_with_the_song(town: Town) -> None:
    done = town.place.run("request", town.site.url)
    assert done.returncode == 0
    assert "Butakero - Milonga de prueba" in done.stdout
    assert "Opus packets copied" in done.stdout
    assert "\x1b" not in done.stdout
    again = town.place.run("request", town.site.url)
    assert again.returncode == 0
    assert "in the library already" in again.stdout


def test_json_alone_on_stdout(town: Town) -> None:
    done = town.place.run("request", "--json", "--user", "u1", town.site.url)
    assert done.returncode == 0
    status = StatusEvent.model_validate_json(done.stdout)
    assert (status.success, status.user_id) == (True, "u1")
    failed = town.place.run("request", "--json", "file:///etc/passwd")
    assert failed.returncode == 1
    assert StatusEvent.model_validate_json(failed.stdout).error_code == "url_not_allowed"


@pytest.mark.parametrize(
    ("options", "song", "code"),
    [
        ([], "{site}/nothing-here", "media_not_found"),
        (["--provider", "cassette"], "a song", "provider_not_found"),
    ],
)
def test_a_request_that_fails_shows_the_code(town: Town, options: list[str], song: str, code: str) -> None:
    done = town.place.run("request", *options, song.format(site=f"http://{town.site.address}"))
    assert done.returncode == 1
    assert f"({code})" in done.stderr


def test_nobody_there_is_said_while_the_request_waits(place: Place) -> None:
    with place.start("request", "x", "--timeout", "5") as running:
        running.until("Nobody is consuming the queue")
        assert "stays in the queue" in running.rest()
        assert running.process.returncode == 3
    assert asyncio.run(_lag(place)) == 1


def test_ctrl_c_stops_the_waiting_and_not_the_request(place: Place) -> None:
    with place.start("request", "x") as running:
        running.until("Nobody is consuming the queue")
        running.press_ctrl_c()
        assert "The request goes on" in running.rest()
        assert running.process.returncode == 130
    assert asyncio.run(_lag(place)) == 1


def test_an_empty_song_is_wrong_usage(place: Place) -> None:
    assert place.run("request", "  ").returncode == 2
    assert place.run("request").returncode == 2


async def _lag(place: Place) -> int:
    async with open_broker(place.settings()) as broker:
        return await broker.lag(REQUESTS, "audio-workers")


# --- dlq


def test_a_damaged_request_is_buried_shown_and_replayed(town: Town) -> None:
    asyncio.run(_bury(town.place, b'{"song": '))
    listed = town.place.run("dlq", "list")
    assert "0:0\tinvalid_message\t1\tdamaged" in listed.stdout
    shown = town.place.run("dlq", "show", "0:0")
    assert '{"song": ' in shown.stdout
    assert town.place.run("dlq", "replay").returncode == 2

    # Nothing has changed about it, so the service buries it again.
    replayed = asyncio.run(_replay(town.place, "0:0"))
    assert "Replayed: 1." in replayed.stdout
    assert [line.split("\t")[0] for line in town.place.run("dlq", "list").stdout.splitlines()[1:]] == ["0:1"]


async def _bury(place: Place, body: bytes) -> None:
    async with open_broker(place.settings()) as broker, _next_dead_letter(broker):
        await broker.publish(REQUESTS, "damaged", body, {})


async def _replay(place: Place, position: str) -> subprocess.CompletedProcess[str]:
    async with open_broker(place.settings()) as broker, _next_dead_letter(broker):
        return await asyncio.to_thread(place.run, "dlq", "replay", position)


@asynccontextmanager
async def _next_dead_letter(broker: Broker) -> AsyncGenerator[None]:
    """Wait, at the end of the body, for a dead letter that it led to. It is only looked at."""
    group = f"test-{uuid.uuid4()}"
    async with (
        asyncio.timeout(patience()),
        broker.consume(f"{REQUESTS}.dlq", group, start="latest") as letters,
    ):
        yield
        await anext(letters)
