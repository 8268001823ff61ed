"""Every command of a block in README and docs that can run here is run from the text, in its order.

What cannot is in elsewhere.py with the reason. Ports, ids and addresses are filled in as a reader would.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Generator, Iterable
from contextlib import contextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from butakero.demo_site import open_demo_site
from tests.deploy.cluster_place import make_place
from tests.discord.house import LIBRARY, House, open_house
from tests.docs.elsewhere import reason
from tests.docs.pages import PAGES, Command, blocks, fenced_commands, mentioned_commands, shape
from tests.docs.session import Session, copy_of_the_repository
from tests.e2e.cli_program import Running
from tests.servers.ports import free_port
from tests.servers.youtube_api import fake_youtube_api

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

# The command whose output a page shows in a block of its own, and the last words after Ctrl-C.
SHOWS_THE_FIRST_RUN = {
    "README.md": ("LOCALE=en make run", "has stopped"),
    "README.es.md": ("make run", "se detuvo"),
}
SERVICE_PAGE, ACCESS_PAGE, CLUSTER_PAGE = "docs/using.md", "docs/access.md", "docs/kubernetes.md"


def to_run(page: str) -> list[Command]:
    return [command for command in fenced_commands(page) if reason(command.text) is None]


def in_house(pages: Iterable[str]) -> list[str]:
    """Return the pages whose commands ask services that run already."""
    return [page for page in pages if to_run(page) and page not in {SERVICE_PAGE, ACCESS_PAGE, CLUSTER_PAGE}]


def terminal(directory: Path, **environment: str) -> Session:
    """Return a session in a copy of the repository, with ports that nobody else has."""
    ports = {"8080": str(free_port()), "8081": str(free_port())}
    inherited = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG", "TMPDIR"}}
    copy = copy_of_the_repository(directory)
    path = f"{copy}/.venv/bin:{inherited.get('PATH', '')}"
    return Session(
        copy,
        {**inherited, "PATH": path, "HTTP_PORT": ports["8080"], "BOT_HTTP_PORT": ports["8081"], **environment},
        _addresses(ports),
    )


def _addresses(ports: dict[str, str]) -> dict[str, str]:
    """Return where the services of the text are: its address → the one here."""
    names = ("127.0.0.1", "localhost")
    return {f"{name}:{port}": f"127.0.0.1:{given}" for name in names for port, given in ports.items()}


@contextmanager
def first_run(session: Session, command: str) -> Generator[Running]:
    """Run a variant of `make run` until it says that it stays."""
    with session.start(command) as running:
        running.until("Ctrl-C")
        yield running


# --- make run


@pytest.mark.parametrize("page", SHOWS_THE_FIRST_RUN)
async def test_make_run_prints_what_the_page_shows(page: str, tmp_path: Path) -> None:
    command, farewell = SHOWS_THE_FIRST_RUN[page]
    assert command in mentioned_commands(page) or Command(command) in fenced_commands(page)
    [shown] = [content for kind, content in blocks(page) if kind == "text" and "Ctrl-C" in content]
    with first_run(terminal(tmp_path), command) as running:
        printed = "\n".join(running.lines).strip()
        assert shape(shown).fullmatch(printed), printed
        running.press_ctrl_c()
        assert farewell in running.rest()


async def test_make_run_takes_a_song(tmp_path: Path) -> None:
    with open_demo_site(tmp_path / "site") as site:
        session = terminal(tmp_path, NETWORK_ALLOW=site.address)
        session.filled_in = {**session.filled_in, "<URL or title>": site.url}
        with first_run(session, "make run SONG='<URL or title>'") as running:
            assert any(line.startswith("Listo: ") for line in running.lines)


async def test_make_run_aws_on_ministack_and_seaweedfs(tmp_path: Path) -> None:
    with first_run(terminal(tmp_path), "make run-aws") as running:
        assert any(line.startswith("Listo: ") for line in running.lines)
        assert any("s3://butakero-songs/audio/" in line for line in running.lines)
        running.press_ctrl_c()
        assert "se detuvo" in running.rest()


# --- the command line and the HTTP API


async def test_the_examples_of_using_it(tmp_path: Path) -> None:
    """With a service that has no song yet, a song on a site, and YouTube's API of the tests."""
    with open_demo_site(tmp_path / "site") as site:
        async with fake_youtube_api() as youtube:
            youtube.add_video("milonga0001", title="Milonga del norte")
            session = terminal(
                tmp_path,
                NETWORK_ALLOW=f"{site.address},{youtube.url.removeprefix('http://').split('/')[0]}",
                YOUTUBE_API_URL=youtube.url,
                YOUTUBE_API_KEY=youtube.key,
            )
            await asyncio.to_thread(_use_it, session, site.url)


def _use_it(session: Session, address: str) -> None:
    session.filled_in = {**session.filled_in, "<URL or title>": address, "<URL>": address}
    songs = session.directory / "data" / "storage" / "audio"
    with first_run(session, ".venv/bin/butakero up"):
        for command in to_run(SERVICE_PAGE):
            session.run(command)
            if songs.exists():
                [song] = songs.iterdir()
                session.filled_in = {**session.filled_in, "<id>": song.stem}
    [song] = songs.iterdir()
    assert (session.directory / "song.dca").read_bytes() == song.read_bytes()
    assert (session.directory / "song.ogg").read_bytes().startswith(b"OggS")


async def test_the_examples_of_access(tmp_path: Path) -> None:
    session = terminal(tmp_path, API_KEYS_FILE="data/api-keys.json")
    with first_run(session, ".venv/bin/butakero up"):
        for command in to_run(ACCESS_PAGE):
            printed = session.run(command)
            if command.text.endswith("keys create bot"):
                session.environment["KEY"] = printed
                session.filled_in = {**session.filled_in, "<key id>": printed.split("_")[1]}
    assert session.filled_in["<key id>"] in (session.directory / "data" / "api-keys.json").read_text()


# --- what runs already


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[House]:
    async with open_house(tmp_path_factory.mktemp("house")) as house:
        yield house


@pytest.mark.parametrize("page", in_house(PAGES))
async def test_the_examples_of_a_page(page: str, house: House, tmp_path: Path) -> None:
    scene = await house.scene()
    await scene.play(LIBRARY[0])
    session = terminal(tmp_path)
    ports = {"8080": str(house.audio.http_port), "8081": house.bot.url.rsplit(":", 1)[1]}
    session.filled_in = _addresses(ports)
    for command in to_run(page):
        await asyncio.to_thread(session.run, command)  # this process serves Discord meanwhile


# --- Kubernetes


async def test_the_steps_of_deploying(tmp_path: Path) -> None:
    with make_place(tmp_path) as place:
        for secret in ("backend.env", "discord-bot.env"):
            (place.directory / "k8s" / "secrets" / secret).unlink()
        session = Session(place.directory, place.environment, typed="s\n")
        for command in to_run(CLUSTER_PAGE):
            session.run(command)
            if command.text.startswith("cp ") and "discord-bot" in command.text:
                place.fill_in()
        assert any("rollout status deployment/discord-bot" in call for call in place.calls)
