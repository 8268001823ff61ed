from __future__ import annotations

import importlib.metadata
import re
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry

from audio_service.api.app import create_app
from tests.unit.audio_service.api.library import Api, open_api


@pytest.mark.parametrize(("path", "name"), [("/", "library"), ("/chats/demo", "chat")])
async def test_every_file_that_a_page_names_is_there_with_its_type(api: Api, path: str, name: str) -> None:
    page = await api.client.get(path)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    named = re.findall(r'(?:src|href)="(/web/[^"]+)"', page.text)
    assert named == ["/web/icon.svg", "/web/style.css", f"/web/{name}.css", f"/web/{name}.js"]
    assert await types_of(api, named) == ["image/svg+xml", "text/css", "text/css", "text/javascript"]
    scripts = [named[-1]]
    for script in scripts:
        imported = re.findall(r'from "\./([a-z]+\.js)"', (await api.client.get(script)).text)
        scripts += [f"/web/{name}" for name in imported if f"/web/{name}" not in scripts]
    assert len(scripts) > 3
    assert await types_of(api, scripts) == ["text/javascript"] * len(scripts)


@pytest.mark.parametrize("path", ["/", "/chats/demo", "/docs"])
async def test_every_page_leads_to_the_others(api: Api, path: str) -> None:
    page = (await api.client.get(path)).text
    links = re.findall(r'<a [^>]*href="([^"]+)"', page.partition("</header>")[0])
    assert links == ["/", "/", "/chats/demo", "/docs"]


async def test_both_languages_have_the_same_words(api: Api) -> None:
    words = (await api.client.get("/web/words.js")).text
    spanish, english = re.findall(r"const E[SN] = \{(.*?)\n\};", words, re.DOTALL)
    keys = [re.findall(r"(\w+): \"", text) for text in (spanish, english)]
    assert keys[0] == keys[1]
    assert len(keys[0]) > 40


async def test_the_page_of_a_chat_is_told_whether_it_can_be_used(tmp_path: Path) -> None:
    async with open_api(tmp_path, api_keys_file=tmp_path / "keys.json") as api:
        page = await api.client.get("/chats/demo")
        assert 'data-uploads="off" data-access="closed"' in page.text
        assert (await api.client.get("/chats/a%20b")).status_code == 404


@pytest.mark.parametrize(
    ("endpoint", "public", "place"),
    [
        ("", "", "https://*.amazonaws.com"),
        ("http://10.0.0.1:8333/", "", "http://10.0.0.1:8333"),
        ("http://10.0.0.1:8333/", "https://files.example", "https://files.example"),
    ],
)
async def test_where_files_go_to_a_bucket_the_chats_page_may_send_them_there(
    api: Api, endpoint: str, public: str, place: str
) -> None:
    changes = {"storage_backend": "s3", "aws_endpoint_url_s3": endpoint, "s3_public_url": public}
    app = create_app(
        replace(api.deps, settings=api.deps.settings.model_copy(update=changes), registry=CollectorRegistry())
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api.test") as client:
        policy = (await client.get("/chats/demo")).headers["content-security-policy"]
    assert f"connect-src 'self' {place};" in policy


async def test_the_docs_page_has_every_file_that_it_names(api: Api) -> None:
    page = await api.client.get("/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    named = re.findall(r'(?:src|href)="(/(?:docs|web)/[^"]+)"', page.text)
    assert [name.partition("?")[0] for name in named] == [
        "/web/icon.svg",
        "/docs/swagger-ui.css",
        "/web/style.css",
        "/web/docs.css",
        "/docs/swagger-ui-bundle.js",
        "/web/docs.js",
    ]
    assert await types_of(api, named) == ["image/svg+xml", *["text/css"] * 3, *["text/javascript"] * 2]
    assert "SwaggerUIBundle" in (await api.client.get(named[4])).text


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


@pytest.mark.parametrize("path", ["/", "/chats/demo"])
async def test_a_page_loads_from_nowhere_else_and_runs_nothing_inline(api: Api, path: str) -> None:
    page = await api.client.get(path)
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe-inline" not in policy
    assert "http" not in policy
    assert not re.search(r"\son[a-z]+=|<style|style=|<script(?![^>]* src=)", page.text)
    for name in ("chat", "dom", "library", "player"):
        assert "innerHTML" not in (await api.client.get(f"/web/{name}.js")).text


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
