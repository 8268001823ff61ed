"""A chat's page in a real browser, on the real service: files in, sounds out, for everybody in the chat."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from playwright.async_api import Browser, Locator, Page, Route, WebSocketRoute, expect

from audio_service.api.deps import ApiDeps
from audio_service.bootstrap import open_services
from audio_service.pipelines.upload import UPLOADS
from audio_service.serving import open_listeners, serve_http
from audio_service.worker.worker import Worker
from common.aws import open_s3
from common.settings import SharedSettings
from tests.servers.browser import violations
from tests.servers.buckets import bucket_keys, make_bucket, objects
from tests.servers.emulators import Emulator
from tests.servers.media_files import make
from tests.servers.system import settings_for
from tests.waiting import patience

if TYPE_CHECKING:
    from types_aiobotocore_s3.type_defs import CORSRuleTypeDef

pytestmark = pytest.mark.asyncio(loop_scope="session")

SECONDS = 60


@asynccontextmanager
async def open_site(root: Path, *, uploads: bool = True, **keys: Any) -> AsyncGenerator[str]:  # noqa: ANN401 - settings
    """Run the service in this process, and yield its address."""
    leases = {"lease_seconds": 600.0, "broker_lease_seconds": 600.0}
    settings = settings_for(root, uploads=uploads, num_workers=1, **leases, **keys)
    stop = asyncio.Event()
    async with AsyncExitStack() as stack:
        listeners = stack.enter_context(open_listeners(settings))
        services = await stack.enter_async_context(open_services(settings))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(serve_http(ApiDeps.of(services), listeners, stop))
            if uploads:
                tasks.create_task(Worker(services, [UPLOADS]).run(stop))
            try:
                yield f"http://127.0.0.1:{listeners.api.getsockname()[1]}"
            finally:
                stop.set()


@asynccontextmanager
async def open_page(browser: Browser, locale: str = "es-AR") -> AsyncGenerator[Page]:
    limit = patience() * 1000
    expect.set_options(timeout=limit)
    context = await browser.new_context(locale=locale, viewport={"width": 900, "height": 700})
    context.set_default_timeout(limit)
    context.set_default_navigation_timeout(limit)
    try:
        yield await context.new_page()
    finally:
        await context.close()


def cards(page: Page, state: str) -> Locator:
    return page.locator(f".card[data-state={state}]")


async def drop(page: Page, *contents: bytes) -> None:
    """Drop files on the page, as the browser does."""
    await page.evaluate(
        """contents => {
            const dropped = new DataTransfer();
            contents.forEach((text, at) => {
                const content = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
                dropped.items.add(new File([content], `nota ${at}.m4a`, { type: "audio/mp4" }));
            });
            dispatchEvent(new DragEvent("drop", { dataTransfer: dropped, cancelable: true }));
        }""",
        [base64.b64encode(content).decode() for content in contents],
    )


async def value_of(slider: Locator) -> float:
    return float(await slider.get_attribute("aria-valuenow") or "")


async def test_files_become_messages_that_everybody_in_the_chat_hears(browser: Browser, tmp_path: Path) -> None:
    note = await asyncio.to_thread(lambda: make("m4a", tmp_path, seconds=SECONDS).read_bytes())
    async with (
        open_site(tmp_path) as site,
        open_page(browser) as page,
        open_page(browser, "en-GB") as other,
    ):
        for one in (page, other):
            await one.goto(f"{site}/chats/demo")
        await expect(page.locator("#empty")).to_contain_text("Soltá acá un archivo")
        await expect(other.locator("#empty")).to_contain_text("Drop an audio file here")

        await drop(page, note, note, note[:4000])
        for one, words in ((page, "Archivo dañado"), (other, "File corrupted")):
            await expect(cards(one, "done")).to_have_count(2)
            await expect(cards(one, "failed")).to_contain_text(words)
            await expect(one.locator("#empty")).to_be_hidden()
        await expect(cards(other, "failed")).to_contain_text("cut off or damaged")

        first, second = (cards(other, "done").nth(at).locator(".player") for at in range(2))
        slider = first.get_by_role("slider")
        for key, seconds in (("ArrowRight", 5), ("PageUp", 20), ("ArrowLeft", 15), ("End", 60), ("Home", 0)):
            await slider.press(key)
            await expect(slider).to_have_attribute("aria-valuenow", f"{seconds}.0")
        await expect(slider).to_have_attribute("aria-valuetext", "0:00 of 1:00")
        box = await slider.bounding_box()
        assert box is not None
        await slider.click(position={"x": box["width"] / 2, "y": 10})
        assert abs(await value_of(slider) - SECONDS / 2) < 2
        await other.mouse.move(box["x"] + 10, box["y"] + 10)
        await other.mouse.down()
        await other.mouse.move(box["x"] + box["width"] / 4, box["y"] + 10, steps=3)
        await other.mouse.up()
        assert abs(await value_of(slider) - SECONDS / 4) < 2

        await first.get_by_role("button", name=re.compile("^Play")).click()
        await expect(slider).not_to_have_attribute("aria-valuenow", f"{await value_of(slider):.1f}")
        await second.get_by_role("button", name=re.compile("^Play")).click()
        await expect(second).to_have_attribute("data-playing", "true")
        await expect(first).to_have_attribute("data-playing", "false")
        await second.get_by_role("slider").press(" ")
        await expect(second).to_have_attribute("data-playing", "false")
        for speed in ("1.5", "2", "1"):
            await second.locator(".speed").click()
            await expect(second.locator(".speed")).to_have_text(f"{speed}\N{MULTIPLICATION SIGN}")

        await other.set_viewport_size({"width": 320, "height": 640})
        assert await other.evaluate("document.documentElement.scrollWidth") == 320
        for scheme in ("light", "dark"):
            await other.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            assert await violations(other) == []


async def test_the_microphone_and_a_cancelled_upload(browser: Browser, tmp_path: Path) -> None:
    async with open_site(tmp_path) as site, open_page(browser) as page:
        await page.goto(f"{site}/chats/demo")
        await page.get_by_role("button", name="Grabar").click()
        await expect(page.locator("#clock")).to_be_visible()
        await expect(page.locator("#clock")).not_to_have_text("0:00")
        await page.get_by_role("button", name="Detener y mandar").click()
        await expect(cards(page, "done")).to_contain_text("nota de voz")

        await page.get_by_role("button", name="Grabar").click()
        await page.get_by_role("button", name="Descartar").click()
        await expect(page.get_by_role("button", name="Grabar")).to_be_visible()

        held = list[Route]()

        def hold(route: Route) -> None:
            held.append(route)

        await page.route("**/api/v1/uploads/**", hold)
        await drop(page, b"never sent")
        await expect(cards(page, "uploading")).to_contain_text("Subiendo")
        assert await violations(page) == []
        await page.get_by_role("button", name="Cancelar").click()
        await expect(page.locator(".card")).to_have_count(1)

        await page.unroute_all(behavior="ignoreErrors")
        await page.route("**/chats/upload/prepare/", lambda route: route.abort())
        await drop(page, b"no network")
        await expect(cards(page, "failed")).to_contain_text("El servicio no responde")
        await page.unroute_all(behavior="ignoreErrors")
        await page.get_by_role("button", name="Reintentar").click()
        await expect(cards(page, "failed")).to_contain_text("Archivo dañado")


async def test_after_a_lost_connection_nothing_is_missing(browser: Browser, tmp_path: Path) -> None:
    note = await asyncio.to_thread(lambda: make("m4a", tmp_path, seconds=1).read_bytes())
    async with open_site(tmp_path) as site, open_page(browser) as page:
        lost = list[WebSocketRoute]()

        def lose_the_first(route: WebSocketRoute) -> None:
            server = route.connect_to_server()
            if not lost:
                lost.append(route)
                server.on_message(lambda _: None)

        await page.route_web_socket(re.compile("/ws/chats/"), lose_the_first)
        await page.goto(f"{site}/chats/demo")
        await expect(page.locator("#connection")).to_be_empty()
        await drop(page, note)
        await expect(cards(page, "processing")).to_have_count(1)
        assert await violations(page) == []
        await lost[0].close()
        await expect(cards(page, "done")).to_have_count(1)
        await expect(page.locator("#connection")).to_be_empty()


async def test_where_uploads_are_off_the_page_says_how_to_turn_them_on(browser: Browser, tmp_path: Path) -> None:
    async with open_site(tmp_path, uploads=False) as site, open_page(browser) as page:
        await page.goto(f"{site}/chats/demo")
        await expect(page.locator("#unusable")).to_contain_text("UPLOADS=true")
        await expect(page.locator("#composer")).to_be_hidden()
        assert await violations(page) == []
        await page.get_by_role("link", name="Biblioteca").click()
        await expect(page.get_by_role("searchbox")).to_be_visible()
        assert await violations(page) == []


async def test_files_go_straight_to_a_bucket_that_lets_the_page_in(
    browser: Browser, tmp_path: Path, seaweedfs: Emulator
) -> None:
    note = await asyncio.to_thread(lambda: make("m4a", tmp_path, seconds=2).read_bytes())
    keys = bucket_keys(seaweedfs)
    shared = SharedSettings(**keys)
    await make_bucket(shared)
    async with open_site(tmp_path, **keys) as site, open_page(browser) as page:
        sent: list[str] = []
        page.on("request", lambda request: sent.append(request.url) if request.method == "PUT" else None)
        await page.goto(f"{site}/chats/demo")
        await let_in(shared, "http://elsewhere.test")
        await drop(page, note)
        await expect(cards(page, "failed")).to_have_count(1)
        await let_in(shared, site)
        await drop(page, note)
        await expect(cards(page, "done")).to_have_count(1)
        assert sent
        assert all(url.startswith(seaweedfs.url) for url in sent)
    assert not await objects(shared, "quarantine/")


async def let_in(settings: SharedSettings, origin: str) -> None:
    """Let pages of one origin send files to the bucket, as docs/uploads.md says. SeaweedFS lets all in before."""
    rule: CORSRuleTypeDef = {
        "AllowedOrigins": [origin],
        "AllowedMethods": ["PUT"],
        "AllowedHeaders": ["content-type", "if-none-match"],
    }
    async with open_s3(settings) as client:
        await client.put_bucket_cors(Bucket=settings.s3_bucket_name, CORSConfiguration={"CORSRules": [rule]})
