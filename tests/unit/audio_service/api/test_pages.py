from __future__ import annotations

import re

import pytest

from tests.unit.audio_service.api.library import Api


async def test_every_file_that_the_page_names_is_there_with_its_type(api: Api) -> None:
    page = await api.client.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    named = re.findall(r'(?:src|href)="(/[^"]+)"', page.text)
    assert named == ["/web/library.css", "/web/library.js"]
    types = [(await api.client.get(name)).headers["content-type"].partition(";")[0] for name in named]
    assert types == ["text/css", "text/javascript"]


@pytest.mark.parametrize(
    "name", ["../settings.py", "..%2fsettings.py", "__init__.py", "%00", "library.js%00", "index.html/"]
)
async def test_no_other_file_is_served(api: Api, name: str) -> None:
    answer = await api.client.get(f"http://api.test/web/{name}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "route_not_found")


async def test_the_page_loads_from_nowhere_else_and_runs_nothing_inline(api: Api) -> None:
    page = await api.client.get("/")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe-inline" not in policy
    assert "http" not in policy
    assert not re.search(r"\son[a-z]+=|<style|style=|<script(?![^>]* src=)", page.text)
    assert "innerHTML" not in (await api.client.get("/web/library.js")).text
