from __future__ import annotations

import importlib.metadata
import re

import pytest

from tests.unit.audio_service.api.library import Api


async def test_every_file_that_the_page_names_is_there_with_its_type(api: Api) -> None:
    page = await api.client.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    named = re.findall(r'(?:src|href)="(/[^"]+)"', page.text)
    assert named == ["/web/library.css", "/web/library.js"]
    assert await types_of(api, named) == ["text/css", "text/javascript"]


async def test_the_docs_page_has_every_file_that_it_names(api: Api) -> None:
    page = await api.client.get("/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    named = re.findall(r'(?:src|href)="(/(?:docs|web)/[^"]+)"', page.text)
    assert [name.partition("?")[0] for name in named] == [
        "/docs/swagger-ui.css",
        "/web/docs.css",
        "/docs/swagger-ui-bundle.js",
        "/web/docs.js",
    ]
    assert await types_of(api, named) == ["text/css", "text/css", "text/javascript", "text/javascript"]
    assert "SwaggerUIBundle" in (await api.client.get(named[2])).text


async def types_of(api: Api, addresses: list[str]) -> list[str]:
    answers = [await api.client.get(address) for address in addresses]
    assert [answer.status_code for answer in answers] == [200] * len(addresses)
    return [answer.headers["content-type"].partition(";")[0] for answer in answers]


@pytest.mark.parametrize(
    "name", ["../settings.py", "..%2fsettings.py", "__init__.py", "%00", "library.js%00", "index.html/"]
)
async def test_no_other_file_is_served(api: Api, name: str) -> None:
    answer = await api.client.get(f"http://api.test/web/{name}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "route_not_found")


@pytest.mark.parametrize("name", ["favicon-32x32.png", "../main.py", "..%2fmain.py", "__init__.py", "docs.js"])
async def test_no_other_file_of_swagger_ui_is_served(api: Api, name: str) -> None:
    assert (await api.client.get(f"http://api.test/docs/{name}")).status_code == 404


async def test_the_page_loads_from_nowhere_else_and_runs_nothing_inline(api: Api) -> None:
    page = await api.client.get("/")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe-inline" not in policy
    assert "http" not in policy
    assert not re.search(r"\son[a-z]+=|<style|style=|<script(?![^>]* src=)", page.text)
    assert "innerHTML" not in (await api.client.get("/web/library.js")).text


async def test_the_docs_page_and_what_it_loads_name_no_other_host(api: Api) -> None:
    page = await api.client.get("/docs")
    assert not re.search(r"(?:https?:|['\"(])//", page.text)
    for style in ("/docs/swagger-ui.css", "/web/docs.css"):
        text = (await api.client.get(style)).text
        assert not re.search(r"@import|url\((?![\"']?data:)", text)
    assert "validatorUrl: null" in (await api.client.get("/web/docs.js")).text


async def test_a_browser_that_reads_the_docs_page_may_ask_this_server_alone(api: Api) -> None:
    page = await api.client.get("/docs")
    policy = dict(part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == "'self'"
    assert not re.search(r"https?:|\*|[a-z]\.[a-z]", page.headers["content-security-policy"])
    assert not re.search(r"\son[a-z]+=|<style|style=|<script(?![^>]* src=)", page.text)


async def test_swagger_uis_files_are_kept_by_browsers_under_their_version(api: Api) -> None:
    page = await api.client.get("/docs")
    version = importlib.metadata.version("fastapi-swagger")
    assert page.text.count(f"?v={version}") == 2
    script = await api.client.get(f"/docs/swagger-ui-bundle.js?v={version}")
    assert script.headers["cache-control"] == "public, max-age=86400"
