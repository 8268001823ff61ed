"""Chromium from PATH or CHROMIUM, driven by Playwright, and axe-core's audit of a page."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import cache
from importlib.resources import files
from typing import Any

from playwright.async_api import Browser, Page, async_playwright

from tests.servers.missing import ProgramMissing
from tests.servers.reaper import child_environment

_OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--mute-audio",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)


@asynccontextmanager
async def open_browser() -> AsyncGenerator[Browser]:
    """Start Chromium with a microphone that hums; it ends with the test process, however that ends.

    Raises:
        ProgramMissing: it is not installed.
    """
    program = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        raise ProgramMissing("Chromium is not installed (apt install chromium, or CHROMIUM=<its path>)")
    environment: dict[str, Any] = child_environment()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=program, args=_OPTIONS, env=environment, timeout=0, handle_sigint=False
        )
        try:
            yield browser
        finally:
            await browser.close()


async def violations(page: Page) -> list[str]:
    """Return what axe-core finds: its rule, and the elements. Injected, so that the page's policy does not matter."""
    await page.evaluate(_axe())
    found: list[dict[str, Any]] = (await page.evaluate("axe.run()"))["violations"]
    return [f"{rule['id']}: {node['html']}" for rule in found for node in rule["nodes"]]


@cache
def _axe() -> str:
    return files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
