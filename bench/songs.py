"""Songs of the local media site, as many as are asked for: the same four minutes under ever new addresses.

A song's page offers it as M4A and as WebM with Opus, as the large sites do; who comes chooses. That choice is part of
what is compared: the reference way asks for M4A, the audio service for Opus.
"""

from __future__ import annotations

import html
import itertools
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from tests.servers.media_files import make
from tests.servers.media_site import MediaSite, open_media_site

SECONDS = 240
_TYPES = {".m4a": 'audio/mp4; codecs="mp4a.40.2"', ".webm": 'audio/webm; codecs="opus"'}
REAL_LIFE_RATE = 2_000_000
"""Bytes a second."""


class Songs:
    """Addresses that nobody has asked for yet. `rate`: bytes a second that the site gives, None for all it can."""

    def __init__(self, site: MediaSite, seconds: int = SECONDS) -> None:
        self.site = site
        self.opus = make("webm_opus", site.directory, seconds, sound="sweep")
        self.m4a = make("m4a_faststart", site.directory, seconds, sound="sweep")
        self._short = make("m4a_faststart", site.directory, 3, sound="sweep")
        self._numbers = itertools.count()

    def both(self, rate: int | None = None) -> str:
        """Return the address of a page that offers M4A and Opus."""
        return self._page([self.m4a, self.opus], rate)

    def m4a_alone(self, rate: int | None = None) -> str:
        """Return the address of a page that offers M4A."""
        return self._page([self.m4a], rate)

    def short(self) -> str:
        """Return the address of a page that offers three seconds of M4A: to be warm."""
        return self._page([self._short], None)

    def bare(self, rate: int | None = None) -> str:
        """Return the address of the file with Opus itself."""
        return self.site.file(self.opus, **_behaviour(rate))

    def _page(self, offers: list[Path], rate: int | None) -> str:
        sources = ""
        for path in offers:
            address, kind = self.site.file(path, **_behaviour(rate)), _TYPES[path.suffix]
            sources += f'<source src="{html.escape(address)}" type="{html.escape(kind)}">'
        text = f"<html><title>Milonga {next(self._numbers)}</title><audio>{sources}</audio></html>"
        return self.site.to("/body", text=text, type="text/html")


async def fetch_bare(url: str) -> None:
    """Download a file and do nothing with it."""
    async with httpx.AsyncClient(trust_env=False, timeout=60) as http, http.stream("GET", url) as answer:
        async for _ in answer.aiter_raw():
            pass


def _behaviour(rate: int | None) -> dict[str, int]:
    return {} if rate is None else {"rate": rate}


@asynccontextmanager
async def open_songs(directory: Path) -> AsyncGenerator[Songs]:
    """Serve the songs from this process."""
    files = directory / "files"
    files.mkdir()
    async with open_media_site(files) as site:
        yield Songs(site)
