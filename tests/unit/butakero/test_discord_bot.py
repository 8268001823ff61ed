"""What `up` says of the bot: starting, running, without Discord. The bot here is a small program with /readyz."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from butakero.discord_bot import discord_bot
from butakero.service import open_port
from tests.unit.butakero.conftest import CapturedShell
from tests.waiting import until

# Ready while the file named in its environment exists.
BOT = """
import http.server, os
from common.launch import inherited_listener, read_launch
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if os.path.exists(os.environ["CONNECTED"]) else 503); self.end_headers()
server = http.server.HTTPServer(("127.0.0.1", 0), Handler, bind_and_activate=False)
server.socket = inherited_listener(read_launch().listener)
server.serve_forever()
"""
PROGRAM = (sys.executable, "-c", BOT)


@pytest.fixture
def connected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bot with a token, in a directory of its own; the file stands for its connection to Discord."""
    file = tmp_path / "connected"
    monkeypatch.chdir(tmp_path)
    for key, value in {"DISCORD_TOKEN": "a.b.c", "BOT_HTTP_PORT": "0", "CONNECTED": str(file)}.items():
        monkeypatch.setenv(key, value)
    return file


async def test_it_is_running_once_connected_and_a_loss_is_told(captured: CapturedShell, connected: Path) -> None:
    bot = discord_bot(captured.shell, "http://audio", asyncio.Event(), program=PROGRAM, away_seconds=0.1)
    async with bot:
        await until(lambda: "goes on trying" in captured.out())
        assert "running" not in captured.out()
        connected.touch()
        await until(lambda: "running, connected to Discord" in captured.out())
        connected.unlink()
        await until(lambda: captured.out().count("goes on trying") == 2)
    first, *_ = captured.out().splitlines()
    assert "starting" in first


@pytest.mark.usefixtures("connected")
async def test_a_taken_port_is_said_and_the_audio_service_goes_on(
    captured: CapturedShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_port("127.0.0.1", 0) as taken:
        monkeypatch.setenv("BOT_HTTP_PORT", str(taken.getsockname()[1]))
        async with discord_bot(captured.shell, "http://audio", asyncio.Event(), program=PROGRAM):
            pass
    assert "BOT_HTTP_PORT" in captured.err()
    assert captured.out() == ""


async def test_without_a_token_there_is_no_bot(captured: CapturedShell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISCORD_TOKEN", raising=False)
    async with discord_bot(captured.shell, "http://audio", asyncio.Event(), program=PROGRAM):
        pass
    assert captured.out() + captured.err() == ""
