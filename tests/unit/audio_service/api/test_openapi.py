from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest
from fastapi.openapi.models import OpenAPI
from pydantic import BaseModel

from audio_service.api import schemas
from tests.unit.audio_service.api.library import Api

WITHDRAWAL = "/api/v1/requests/{request_id}"
OPERATIONS = [
    "/api/v1/media/",
    "/api/v1/media/search",
    "/api/v1/media/newest",
    "/api/v1/media/{video_id}/audio",
    "/api/v1/media/{video_id}/audio.ogg",
    "/api/v1/sources/search",
    "/api/v1/sources/playlist",
    WITHDRAWAL,
    "/api/v1/health",
    "/livez",
    "/readyz",
    "/metrics",
]

LIMITS = ("pattern", "minLength", "maxLength", "minimum", "maximum", "anyOf")
CURSOR = {"type": "string", "pattern": "^[A-Za-z0-9_-]+$", "maxLength": 500}


def the_operation(path: dict[str, Any]) -> dict[str, Any]:
    (operation,) = path.values()
    return operation


async def document_of(api: Api) -> dict[str, Any]:
    answer = await api.client.get("/openapi.json")
    assert answer.status_code == 200
    return answer.json()


async def test_the_document_is_openapi_and_holds_every_route_once(api: Api) -> None:
    document = await document_of(api)
    OpenAPI.model_validate(document)
    assert list(document["paths"]) == OPERATIONS
    ids = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    assert len(set(ids)) == len(ids) == len(OPERATIONS)


async def test_every_reference_leads_somewhere(api: Api) -> None:
    document = await document_of(api)
    references = [value for key, value in walk(document) if key == "$ref"]
    assert references
    for reference in references:
        target: Any = document
        for part in str(reference).removeprefix("#/").split("/"):
            target = target[part]


async def test_every_json_answer_has_an_example_of_its_own_schema(api: Api) -> None:
    document = await document_of(api)
    examples = 0
    for path in document["paths"].values():
        for answer in the_operation(path)["responses"].values():
            content = answer.get("content", {}).get("application/json")
            if content is None:
                continue
            model = cast("type[BaseModel]", getattr(schemas, content["schema"]["$ref"].rpartition("/")[2]))
            given = [content["example"]] if "example" in content else [e["value"] for e in content["examples"].values()]
            for example in given:
                model.model_validate(example)
                examples += 1
    assert examples > 20


@pytest.mark.parametrize("path", OPERATIONS[:7])
async def test_every_library_route_documents_its_errors_and_not_the_frameworks(api: Api, path: str) -> None:
    responses = (await document_of(api))["paths"][path]["get"]["responses"]
    assert {"400", "500", "default"} <= set(responses)
    assert "422" not in responses
    if not path.endswith(("/search", "/newest")):
        assert "404" in responses
    assert all("X-Request-ID" in answer["headers"] for answer in responses.values())


async def test_every_parameter_is_documented(api: Api) -> None:
    paths = (await document_of(api))["paths"]
    found = {
        path: {
            parameter["name"]: parameter["required"] for parameter in the_operation(paths[path]).get("parameters", ())
        }
        for path in OPERATIONS
    }
    assert {path: parameters for path, parameters in found.items() if parameters} == {
        "/api/v1/media/": {"video_id": True},
        "/api/v1/media/search": {"title": True, "limit": False, "cursor": False},
        "/api/v1/media/newest": {"limit": False, "cursor": False},
        "/api/v1/media/{video_id}/audio": {"video_id": True},
        "/api/v1/media/{video_id}/audio.ogg": {"video_id": True},
        "/api/v1/sources/search": {"query": True, "limit": False},
        "/api/v1/sources/playlist": {"url": True, "limit": False},
        WITHDRAWAL: {"request_id": True},
    }


async def test_the_document_says_what_is_accepted(api: Api) -> None:
    paths = (await document_of(api))["paths"]
    found = {
        (path, parameter["name"]): {key: parameter["schema"][key] for key in LIMITS if key in parameter["schema"]}
        for path in OPERATIONS
        for parameter in the_operation(paths[path]).get("parameters", ())
    }
    video_id = {"pattern": "^[A-Za-z0-9_-]+$", "minLength": 1, "maxLength": 100}
    assert found == {
        ("/api/v1/media/", "video_id"): video_id,
        ("/api/v1/media/search", "title"): {"maxLength": 200},
        ("/api/v1/media/search", "limit"): {"minimum": 1, "maximum": 100},
        ("/api/v1/media/search", "cursor"): {"anyOf": [CURSOR, {"type": "null"}]},
        ("/api/v1/media/newest", "limit"): {"minimum": 1, "maximum": 100},
        ("/api/v1/media/newest", "cursor"): {"anyOf": [CURSOR, {"type": "null"}]},
        ("/api/v1/media/{video_id}/audio", "video_id"): video_id,
        ("/api/v1/media/{video_id}/audio.ogg", "video_id"): video_id,
        ("/api/v1/sources/search", "query"): {"minLength": 1, "maxLength": 500},
        ("/api/v1/sources/search", "limit"): {"minimum": 1, "maximum": 25},
        ("/api/v1/sources/playlist", "url"): {"minLength": 1, "maxLength": 2000},
        ("/api/v1/sources/playlist", "limit"): {"minimum": 1, "maximum": 500},
        (WITHDRAWAL, "request_id"): {"maxLength": 100},
    }


async def test_every_operation_documents_what_is_too_long(api: Api) -> None:
    paths = (await document_of(api))["paths"]
    for path in OPERATIONS:
        assert {"413", "414", "431", "default"} <= set(the_operation(paths[path])["responses"])


async def test_the_docs_page_lists_every_route_without_any_script(api: Api) -> None:
    answer = await api.client.get("/docs")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    list_of_routes = answer.text.partition('<div id="operations">')[2].partition("<script")[0]
    for path in OPERATIONS:
        assert f"{'DELETE' if path == WITHDRAWAL else 'GET'} {path}<" in list_of_routes


def walk(node: object) -> Iterator[tuple[str, object]]:
    if isinstance(node, dict):
        for key, value in cast("dict[str, object]", node).items():
            yield key, value
            yield from walk(value)
    elif isinstance(node, list):
        for value in cast("list[object]", node):
            yield from walk(value)
