"""The library's page in a real browser: what is new, a download that ends, a search."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from audio_service.api.app import create_app
from audio_service.media.model import Encoding, audio_key
from audio_service.media.repository.base import StoredMedia
from common.messages.downloads import FileData
from tests.e2e.test_chat_page import cards, open_page
from tests.servers.browser import violations
from tests.unit.audio_service.api.library import add_failure, add_song, claim, metadata, open_deps, served

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_what_is_new_plays_and_a_download_appears_when_it_ends(browser: Browser, tmp_path: Path) -> None:
    async with open_deps(tmp_path) as deps, served(create_app(deps)) as (host, port), open_page(browser) as page:
        await page.goto(f"http://{host}:{port}/")
        await expect(page.locator("#empty")).to_contain_text("/music play")
        assert await violations(page) == []

        await add_song(deps, "one", "Artista - Una canción")
        await add_failure(deps, "two", "Otra")
        owned = await claim(deps, "three", "Tercera")
        await page.reload()
        await expect(page.locator(".card")).to_have_count(3)
        await expect(cards(page, "processing")).to_contain_text("Descargando")
        await expect(cards(page, "failed")).to_contain_text("Ese video es privado")
        song = page.locator(".card", has=page.get_by_role("slider"))
        await expect(song).to_contain_text("Una canción")
        await expect(song).to_contain_text("Artista · YouTube · sin recodificar")
        await expect(song.locator(".time")).to_have_text("0:00 / 3:45")
        for scheme in ("light", "dark"):
            await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            assert await violations(page) == []

        made = StoredMedia(
            metadata=metadata("three", "Tercera"),
            file=FileData(file_path=audio_key("three"), file_size="1KB", file_type="audio/dca"),
            size_bytes=1000,
            encoding=Encoding("transcoded", "aac", 100, "00"),
            message="Descarga completa",
        )
        await deps.repository.mark_success("three", owned.fence, made)
        await expect(page.get_by_role("slider")).to_have_count(2)
        await expect(cards(page, "processing")).to_have_count(0)

        await page.get_by_role("searchbox").fill("canción")
        await page.get_by_role("searchbox").press("Enter")
        await expect(page.locator(".card")).to_have_count(1)
        await expect(song).to_contain_text("Una canción")
        await page.set_viewport_size({"width": 320, "height": 640})
        assert await page.evaluate("document.documentElement.scrollWidth") == 320
