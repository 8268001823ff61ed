"""The fake Discord as a whole: one TLS port for REST, gateway and voice, one UDP port, one proxy; all on 127.0.0.1."""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from aiohttp import web

from tests.discord.bell import Bell
from tests.discord.certificate import make_certificate, server_context
from tests.discord.commands import Commands
from tests.discord.core import Core
from tests.discord.gateway import GATEWAY_HOST, RESUME_HOST, Gateway
from tests.discord.interactions import Interaction
from tests.discord.model import Guild, World
from tests.discord.proxy import Proxy, open_proxy
from tests.discord.rest import Rest
from tests.discord.voice_server import VOICE_DOMAIN, VoiceServer, open_voice_server

_PATIENCE_SECONDS = 30.0
TOKEN = "MTA.test.token"  # noqa: S105 - the fake's own

log = logging.getLogger(__name__)


class FakeDiscord:
    """A running fake.

    Attributes:
        environment: what a bot process needs to reach it: DISCORD_TOKEN, DISCORD_PROXY, SSL_CERT_FILE.
        certificate: the PEM file that SSL_CERT_FILE names.
        gateway, rest, proxy: their state and their faults; voice is per guild (`guild.voice`).
        commands: what the bot has registered.
        problems: what the bot did that Discord refuses or the fake does not know; assert that it is empty.
    """

    def __init__(self, world: World, certificate: Path) -> None:
        self.world = world
        self.certificate = certificate
        self.commands = world.commands
        self.problems = world.core.problems
        self.gateway = Gateway(world)
        self.rest = Rest(world)
        self.proxy = Proxy(0)
        self.voice_server: VoiceServer | None = None

    @property
    def environment(self) -> dict[str, str]:
        return {
            "DISCORD_TOKEN": self.world.core.token,
            "DISCORD_PROXY": self.proxy.url,
            "SSL_CERT_FILE": str(self.certificate),
        }

    @property
    def interactions(self) -> list[Interaction]:
        """Everything that people did, in order."""
        return self.world.interactions.all

    def guild(self, name: str = "Casa", *, locale: str = "es-ES") -> Guild:
        """Add a guild with the bot in it and a first text channel "general"."""
        guild = Guild(self.world, name, locale=locale)
        guild.text_channel()
        self.gateway.add(guild)
        return guild

    async def ready(self) -> None:
        """Wait until the bot has a gateway session and has registered commands."""
        await self.gateway.identified()
        await self.world.core.bell.until(lambda: self.commands.syncs or None, lambda: "a PUT of the commands")

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        host = request.host.split(":")[0]
        serve: Callable[[web.Request], Awaitable[None]] | None = None
        if host in {GATEWAY_HOST, RESUME_HOST}:
            serve = self.gateway.serve
        elif host.endswith(VOICE_DOMAIN) and self.voice_server is not None:
            serve = self.voice_server.serve
        elif host == "discord.com":
            return await self.rest.serve(request)
        if serve is None:
            self.world.core.problem(f"the fake does not know the host {host}")
            raise web.HTTPNotFound
        try:
            await serve(request)
        except ConnectionResetError:
            pass  # the bot has hung up in the middle of a message
        except Exception as exc:
            self.world.core.problem(f"{host}: {exc!r}")
            raise
        return web.Response()

    def app(self) -> web.Application:
        """Return the application behind the TLS port."""
        app = web.Application(client_max_size=32 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._serve)
        return app


@asynccontextmanager
async def open_fake_discord(*, patience: float = _PATIENCE_SECONDS, token: str = TOKEN) -> AsyncGenerator[FakeDiscord]:
    """Start a fake Discord; it ends with the block.

    Args:
        patience: seconds until a wait of a test fails with NotSeen.
        token: the bot's token; another one is refused with 401 and 4004.
    """
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="discord-")))
        certificate, key = await asyncio.to_thread(make_certificate, directory)
        core = Core(token, Bell(patience))
        fake = FakeDiscord(World(core, Commands(core)), certificate)
        fake.voice_server = await stack.enter_async_context(open_voice_server(fake.world))
        runner = web.AppRunner(fake.app(), access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=server_context(certificate, key))
        await site.start()
        fake.proxy = await stack.enter_async_context(open_proxy(runner.addresses[0][1]))
        yield fake
