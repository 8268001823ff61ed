from __future__ import annotations

import io
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from audio_service.children.pool import open_children
from audio_service.sources.base import Query
from audio_service.sources.client import YtDlpSource, open_ytdlp
from audio_service.sources.cookies import CookieFile, read_cookies, why_unusable
from common.observability.telemetry import configure_logging
from tests.unit.audio_service.sources.conftest import settings_for

HEADER = "# Netscape HTTP Cookie File\n\n"
PLANTED = "planted-secret"


def line(value: str, *, domain: str = "127.0.0.1", name: str = "SID", expires: str = "0") -> str:
    return f"{domain}\tFALSE\t/\tFALSE\t{expires}\t{name}\t{value}\n"


def replace(path: Path, text: str) -> None:
    """Write it as the script does: under another name, then renamed."""
    beside = path.with_suffix(".new")
    beside.write_text(text)
    beside.replace(path)


class Site:
    """Answers a page with a media link and remembers which cookies came with each request for it."""

    def __init__(self) -> None:
        self.url = ""
        self.cookies: list[str] = []

    async def page(self, request: web.Request) -> web.Response:
        self.cookies.append(request.headers.get("Cookie", ""))
        text = f"<html><head><title>A page</title></head><body><audio src='{self.url}/x.mp3'></audio></body></html>"
        return web.Response(text=text, content_type="text/html")


@asynccontextmanager
async def open_site() -> AsyncGenerator[Site]:
    site = Site()
    app = web.Application()
    app.router.add_get("/page", site.page)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        listener = web.TCPSite(runner, "127.0.0.1", 0)
        await listener.start()
        site.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield site
    finally:
        await runner.cleanup()


async def shown(source: YtDlpSource, site: Site) -> str:
    """Return the cookies that the site saw at one more job."""
    await source.resolve(Query(text=f"{site.url}/page", is_url=True, media_id=None, key="u-test"))
    return site.cookies[-1]


async def test_the_next_job_uses_what_the_file_holds_then_and_no_log_line_does(tmp_path: Path) -> None:
    path = tmp_path / "yt-cookies.txt"
    lines = io.StringIO()
    configure_logging("debug", "json", lines)
    async with open_site() as site:
        settings = settings_for(site.url.removeprefix("http://"), cookies_youtube=path)
        async with open_children(settings) as pool:
            source = open_ytdlp(settings, pool)
            assert await shown(source, site) == ""
            child = pool.pids

            replace(path, HEADER + line(f"{PLANTED}-1"))
            assert await shown(source, site) == f"SID={PLANTED}-1"

            replace(path, HEADER + line(f"{PLANTED}-2") + f"what is this {PLANTED}\n")
            assert await shown(source, site) == f"SID={PLANTED}-2"

            replace(path, f'[{{"name": "SID", "value": "{PLANTED}-json"}}]')
            assert await shown(source, site) == f"SID={PLANTED}-2"

            path.unlink()
            assert await shown(source, site) == ""
            assert pool.pids == child
    said = lines.getvalue()
    assert "cookies.absent" in said
    assert "no cookie in Netscape's format" in said
    assert PLANTED not in said


async def test_cookies_go_to_the_domain_they_name_and_to_no_other(tmp_path: Path) -> None:
    path = tmp_path / "yt-cookies.txt"
    path.write_text(HEADER + line(PLANTED, domain=".youtube.com") + line("mine"))
    async with open_site() as site:
        settings = settings_for(site.url.removeprefix("http://"), cookies_youtube=path)
        async with open_children(settings) as pool:
            assert await shown(open_ytdlp(settings, pool), site) == "SID=mine"


async def test_the_file_is_never_written(tmp_path: Path) -> None:
    path = tmp_path / "yt-cookies.txt"
    text = HEADER + line("mine") + line("old", name="OLD", expires="1")
    path.write_text(text)
    before = path.stat()
    async with open_site() as site:
        settings = settings_for(site.url.removeprefix("http://"), cookies_youtube=path)
        async with open_children(settings) as pool:
            await shown(open_ytdlp(settings, pool), site)
    assert path.read_text() == text
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_comments_http_only_lines_and_session_cookies_are_understood(tmp_path: Path) -> None:
    path = tmp_path / "cookies"
    path.write_text(
        f"{HEADER}# a comment\n#HttpOnly_{line('a', domain='.youtube.com', name='HSID', expires='1999999999')}"
        + line("b", domain="www.youtube.com", name="PREF", expires="")
        + "too\tfew\tfields\n"
        + line("c", expires="soon")
    )
    found = {cookie.name: cookie for cookie in read_cookies(path)}
    assert set(found) == {"HSID", "PREF"}
    assert (found["HSID"].domain, found["HSID"].domain_initial_dot, found["HSID"].expires) == (
        ".youtube.com",
        True,
        1999999999,
    )
    assert found["PREF"].discard


@pytest.mark.parametrize(
    ("content", "raised", "expected"),
    [
        (f"SID={PLANTED}".encode(), "Netscape", "no cookie in Netscape's format"),
        (b"\xff\xfe" + PLANTED.encode(), "decode", "not UTF-8 text"),
        (b"#" * (1024 * 1024 + 1), "larger", "larger than a cookie file can be"),
    ],
)
def test_an_unusable_file_is_named_as_such_and_not_quoted(
    tmp_path: Path, content: bytes, raised: str, expected: str
) -> None:
    path = tmp_path / "cookies"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=raised) as caught:
        read_cookies(path)
    assert why_unusable(caught.value) == expected


def test_a_directory_in_its_place_is_said_to_be_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert CookieFile(tmp_path).current() == []
    assert "Is a directory" in caplog.text


def test_the_file_is_read_once_for_each_of_its_versions(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "cookies"
    path.write_text("nonsense\n")
    file = CookieFile(path)
    file.current()
    file.current()
    assert len(caplog.records) == 1
    replace(path, HEADER + line("mine"))
    assert [cookie.value for cookie in file.current()] == ["mine"]


def test_a_file_that_is_changed_in_place_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "cookies"
    path.write_text(HEADER + line("first"))
    file = CookieFile(path)
    assert [cookie.value for cookie in file.current()] == ["first"]
    before = path.stat()
    while path.stat().st_ctime_ns == before.st_ctime_ns:  # the file system's clock may tick slowly
        path.write_text(HEADER + line("second"))
    assert path.stat().st_ino == before.st_ino
    assert [cookie.value for cookie in file.current()] == ["second"]
