"""Uploads over HTTP: what is asked for, what is refused, and what a PUT leaves behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from audio_service.access.key_file import change_keys
from audio_service.access.keys import KeyList, new_key
from audio_service.access.scopes import Scope
from audio_service.api.app import create_app
from audio_service.api.asset_schemas import AssetBody, AssetPageBody, CompletedBody, PreparedBody
from audio_service.api.uploads import uploads_of
from audio_service.assets.model import Made, Output, output_key, quarantine_key
from audio_service.assets.repository import open_assets
from audio_service.assets.repository.base import Claimed
from audio_service.assets.signatures import check
from common.broker.base import Message
from common.errors import UploadRefused
from common.http.connections import Connections
from common.messages.assets import AssetRequest
from common.messages.base import parse
from tests.unit.audio_service.api.library import Api, open_deps, served

NOTE = {"name": "nota.m4a", "size": 9, "type": "audio/mp4", "chat_id": "c1"}
BODY = b"nine byte"
PREPARE, COMPLETE = "/chats/upload/prepare/", "/chats/upload/complete/"
NO_ONE = "0b5e6a2e-5f0c-4c53-9a1f-0d2b8a6a5a10"


@asynccontextmanager
async def open_api(root: Path, **changes: object) -> AsyncGenerator[Api]:
    async with open_deps(root, uploads=True, **changes) as bare, open_assets(bare.settings) as assets:
        deps = replace(bare, assets=assets)
        app = create_app(deps)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://api.test") as client:
            yield Api(app, deps, client, root)


@pytest.fixture
async def api(tmp_path: Path) -> AsyncGenerator[Api]:
    async with open_api(tmp_path) as opened:
        yield opened


async def prepared(api: Api, **changes: object) -> dict[str, Any]:
    answer = await api.client.post(PREPARE, json={**NOTE, **changes})
    assert answer.status_code == 201
    return answer.json()


async def put(api: Api, upload: dict[str, Any], body: bytes = BODY, **headers: str) -> httpx.Response:
    return await api.client.put(upload["url"], content=body, headers={**upload["headers"], **headers})


async def sent(api: Api) -> str:
    answer = await prepared(api)
    assert (await put(api, answer["upload"])).status_code == 201
    return answer["asset_id"]


async def requests_of(api: Api) -> list[Message]:
    return [*await api.deps.broker.peek(api.deps.settings.topic_upload_requests)]


def quarantined(api: Api) -> list[str]:
    folder = api.deps.settings.local_storage_path / "quarantine"
    return [path.name for path in folder.rglob("*") if path.is_file()]


def refused(answer: httpx.Response, status: int, code: str) -> None:
    assert (answer.status_code, answer.json()["error"]["code"], answer.json()["success"]) == (status, code, False)
    assert answer.json()["error"]["message"]


class TestPrepare:
    @pytest.mark.parametrize("path", [PREPARE, PREPARE.rstrip("/")])
    async def test_the_answer_says_where_to_send_what(self, api: Api, path: str) -> None:
        answer = await api.client.post(path, json=NOTE)
        body = answer.json()
        PreparedBody.model_validate(body)
        assert (answer.status_code, body["processing_status"], body["success"]) == (201, "queued", True)
        assert body["upload"]["headers"] == {"Content-Type": "audio/mp4", "Content-Length": "9"}
        assert body["upload"]["url"].startswith(f"http://api.test/api/v1/uploads/{body['asset_id']}?expires=")
        expires = datetime.fromisoformat(body["upload"]["expires_at"])
        assert timedelta(0) < expires - datetime.now(UTC) <= timedelta(seconds=900)

    async def test_addresses_begin_with_the_public_url(self, tmp_path: Path) -> None:
        async with open_api(tmp_path, public_url="https://voz.example/audio") as api:
            assert (await prepared(api))["upload"]["url"].startswith("https://voz.example/audio/api/v1/uploads/")

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"size": 0}, "size"),
            ({"size": "many"}, "size"),
            ({"size": None}, "size"),
            ({"name": ""}, "name"),
            ({"name": "n" * 256}, "name"),
            ({"chat_id": "a/b"}, "chat_id"),
            ({"chat_id": ""}, "chat_id"),
            ({"type": "audio/mp4\r\nX: y"}, "type"),
            ({"type": "nonsense"}, "type"),
        ],
    )
    async def test_a_wrong_field_is_named(self, api: Api, changes: dict[str, object], field: str) -> None:
        answer = await api.client.post(PREPARE, json={**NOTE, **changes})
        refused(answer, 400, "invalid_input")
        assert answer.json()["error"]["field"] == field

    async def test_a_type_with_a_codec_is_taken(self, api: Api) -> None:
        assert (await prepared(api, type="audio/webm;codecs=opus"))["upload"]["headers"]["Content-Type"]

    async def test_what_is_no_json_is_refused(self, api: Api) -> None:
        refused(await api.client.post(PREPARE, content=b"{"), 400, "invalid_input")

    async def test_a_file_that_is_too_large_is_refused(self, tmp_path: Path) -> None:
        async with open_api(tmp_path, upload_max_bytes=8) as api:
            refused(await api.client.post(PREPARE, json=NOTE), 413, "upload_too_large")

    async def test_too_many_open_uploads_are_refused(self, tmp_path: Path) -> None:
        async with open_api(tmp_path, upload_open_limit=1) as api:
            await prepared(api)
            refused(await api.client.post(PREPARE, json=NOTE), 429, "quota_exceeded")

    async def test_the_method_that_a_path_takes_is_named(self, api: Api) -> None:
        answer = await api.client.get(PREPARE)
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


class TestPut:
    async def test_a_file_is_stored_once(self, api: Api) -> None:
        answer = await prepared(api)
        assert (await put(api, answer["upload"])).status_code == 201
        stat = await api.deps.blobs.stat(quarantine_key(answer["asset_id"]))
        assert stat.size == len(BODY)
        refused(await put(api, answer["upload"], b"otherbody"), 403, "upload_refused")
        assert (await api.deps.blobs.stat(stat.key)).etag == stat.etag

    @pytest.mark.parametrize("body", [BODY + b"x", BODY[:-1], b""])
    async def test_another_length_is_refused_and_leaves_nothing(self, api: Api, body: bytes) -> None:
        upload = (await prepared(api))["upload"]
        headers = {"Content-Length": str(len(body))}
        refused(await put(api, upload, body, **headers), 400, "invalid_input")
        # A body that is not of the length that its head says.
        refused(await put(api, upload, body), 400, "invalid_input")
        assert quarantined(api) == []
        assert (await put(api, upload)).status_code == 201

    async def test_another_type_is_refused(self, api: Api) -> None:
        upload = (await prepared(api))["upload"]
        refused(await put(api, upload, BODY, **{"Content-Type": "text/html"}), 400, "invalid_input")
        assert quarantined(api) == []

    async def test_a_body_without_a_length_is_refused(self, api: Api) -> None:
        upload = (await prepared(api))["upload"]

        async def chunks() -> AsyncIterator[bytes]:
            yield BODY

        answer = await api.client.put(upload["url"], content=chunks(), headers={"Content-Type": "audio/mp4"})
        refused(answer, 400, "invalid_input")

    async def test_a_signature_is_good_for_its_upload_alone(self, api: Api) -> None:
        one, other = await prepared(api), await prepared(api)
        url, query = one["upload"]["url"].split("?")
        swapped = {**one["upload"], "url": f"{url}?{other['upload']['url'].split('?')[1]}"}
        refused(await put(api, swapped), 403, "upload_refused")
        later = query.replace("expires=", "expires=9")
        refused(await put(api, {**one["upload"], "url": f"{url}?{later}"}), 403, "upload_refused")
        refused(await put(api, {**one["upload"], "url": one["upload"]["url"][:-1] + "ñ"}), 403, "upload_refused")
        unknown = one["upload"]["url"].replace(one["asset_id"], NO_ONE)
        refused(await put(api, {**one["upload"], "url": unknown}), 404, "asset_not_found")
        assert quarantined(api) == []

    async def test_a_signature_expires(self, api: Api) -> None:
        answer = await prepared(api)
        assert api.deps.assets is not None
        asset = await api.deps.assets.get(answer["asset_id"])
        assert asset is not None
        query = httpx.URL(answer["upload"]["url"]).params
        check(asset, query["expires"], query["signature"], asset.upload.expires_at)
        with pytest.raises(UploadRefused):
            check(asset, query["expires"], query["signature"], asset.upload.expires_at + timedelta(milliseconds=1))

    async def test_a_completed_upload_takes_no_other_file(self, api: Api) -> None:
        answer = await prepared(api)
        await put(api, answer["upload"])
        await api.client.post(COMPLETE, json={"asset_id": answer["asset_id"]})
        await api.deps.blobs.delete(quarantine_key(answer["asset_id"]))
        refused(await put(api, answer["upload"]), 403, "upload_refused")

    async def test_a_large_body_comes_through_the_server_and_no_other_route(self, tmp_path: Path) -> None:
        body = bytes(300_000)
        async with open_api(tmp_path, upload_max_bytes=len(body)) as api:
            uploads = uploads_of(api.deps.settings)
            server = served(api.app, Connections(), head_seconds=600, uploads=uploads)
            async with server as (host, port), httpx.AsyncClient(timeout=600) as client:
                base = f"http://{host}:{port}"
                made = (await client.post(base + PREPARE, json={**NOTE, "size": len(body)})).json()
                upload = made["upload"]
                assert upload["url"].startswith(f"{base}/")
                answer = await client.put(upload["url"], content=body, headers=upload["headers"])
                assert answer.status_code == 201
                assert (await api.deps.blobs.stat(quarantine_key(made["asset_id"]))).size == len(body)
            # Larger ones are refused by their heads; no byte of them is waited for.
            refused(await api.client.post(PREPARE, content=body), 413, "body_too_large")
            refused(await api.client.put(upload["url"], content=body + b"x"), 413, "body_too_large")


class TestComplete:
    @pytest.mark.parametrize("path", [COMPLETE, COMPLETE.rstrip("/")])
    async def test_it_is_queued(self, api: Api, path: str) -> None:
        asset_id = await sent(api)
        answer = await api.client.post(path, json={"asset_id": asset_id})
        CompletedBody.model_validate(answer.json())
        assert (answer.status_code, answer.json()["processing_status"]) == (202, "queued")
        [message] = await requests_of(api)
        request = parse(AssetRequest, message.value)
        assert (request.request_id, request.asset_id, request.kind) == (asset_id, asset_id, "audio_message")
        assert request.owner_id == "anonymous"

    async def test_again_it_is_the_same_request(self, api: Api) -> None:
        asset_id = await sent(api)
        for _ in range(2):
            answer = await api.client.post(COMPLETE, json={"asset_id": asset_id})
            assert (answer.status_code, answer.json()["processing_status"]) == (202, "queued")
        assert {parse(AssetRequest, message.value).request_id for message in await requests_of(api)} == {asset_id}

    async def test_before_the_put_it_is_missing(self, api: Api) -> None:
        asset_id = (await prepared(api))["asset_id"]
        refused(await api.client.post(COMPLETE, json={"asset_id": asset_id}), 409, "upload_missing")
        assert await requests_of(api) == []

    async def test_another_size_in_the_store_is_a_mismatch(self, api: Api) -> None:
        asset_id = (await prepared(api))["asset_id"]
        path = api.root / "smuggled"
        await asyncio.to_thread(path.write_bytes, BODY + b"x")
        await api.deps.blobs.put(quarantine_key(asset_id), path)
        refused(await api.client.post(COMPLETE, json={"asset_id": asset_id}), 409, "upload_mismatch")

    @pytest.mark.parametrize("asset_id", [NO_ONE, "x", "../../etc/passwd", NO_ONE.upper()])
    async def test_an_unknown_asset_is_not_found(self, api: Api, asset_id: str) -> None:
        refused(await api.client.post(COMPLETE, json={"asset_id": asset_id}), 404, "asset_not_found")

    async def test_a_full_queue_is_said_and_the_next_call_queues_it(self, tmp_path: Path) -> None:
        async with open_api(tmp_path, embedded_broker_max_backlog=1) as api:
            first, second = await sent(api), await sent(api)
            assert (await api.client.post(COMPLETE, json={"asset_id": first})).status_code == 202
            refused(await api.client.post(COMPLETE, json={"asset_id": second}), 503, "queue_unavailable")
            read = await api.client.get(f"/chats/assets/{second}")
            assert read.json()["data"]["processing_status"] == "queued"


class TestRead:
    @pytest.mark.parametrize("end", ["", "/"])
    async def test_a_prepared_asset_has_no_variants_yet(self, api: Api, end: str) -> None:
        asset_id = (await prepared(api))["asset_id"]
        answer = await api.client.get(f"/chats/assets/{asset_id}{end}")
        AssetBody.model_validate(answer.json())
        assert answer.json()["data"]["variants"] is None
        assert "secret" not in answer.text

    async def test_a_done_asset_has_its_files_and_bars(self, api: Api) -> None:
        asset_id = await sent(api)
        await api.client.post(COMPLETE, json={"asset_id": asset_id})
        assert api.deps.assets is not None
        claim = await api.deps.assets.claim(asset_id, timedelta(minutes=1))
        assert isinstance(claim, Claimed)
        made = Made((Output("audio", "audio/mp4", 9),), tuple(range(100)) * 10, 12_345)
        await api.deps.assets.mark_done(asset_id, claim.fence, made, message="Listo")
        path = api.root / "made"
        await asyncio.to_thread(path.write_bytes, BODY)
        await api.deps.blobs.put(output_key(asset_id, "audio.m4a"), path)
        data = (await api.client.get(f"/chats/assets/{asset_id}?bars=10")).json()["data"]
        assert (data["variants"]["waveform"], data["variants"]["duration"]) == ([99] * 10, 12.35)
        answer = await api.client.get(data["variants"]["url"])
        assert (answer.content, answer.headers["content-type"]) == (BODY, "audio/mp4")
        assert answer.headers["x-content-type-options"] == "nosniff"
        etag = answer.headers["etag"]
        fresh = await api.client.get(data["variants"]["url"], headers={"if-none-match": etag})
        assert fresh.status_code == 304
        assert (await api.client.head(data["variants"]["url"])).headers["content-length"] == "9"
        beyond = await api.client.get(data["variants"]["url"], headers={"range": "bytes=99-"})
        refused(beyond, 416, "range_not_satisfiable")

    @pytest.mark.parametrize("bars", ["9", "1001", "x"])
    async def test_bars_have_bounds(self, api: Api, bars: str) -> None:
        asset_id = (await prepared(api))["asset_id"]
        refused(await api.client.get(f"/chats/assets/{asset_id}?bars={bars}"), 400, "invalid_input")

    async def test_other_files_and_assets_are_not_found(self, api: Api) -> None:
        asset_id = (await prepared(api))["asset_id"]
        refused(await api.client.get(f"/api/v1/assets/{asset_id}/audio.m4a"), 404, "blob_not_found")
        refused(await api.client.get(f"/api/v1/assets/{asset_id}/secrets"), 400, "invalid_input")
        refused(await api.client.get(f"/api/v1/assets/{NO_ONE}/audio.m4a"), 404, "asset_not_found")
        refused(await api.client.get(f"/chats/assets/{NO_ONE}"), 404, "asset_not_found")


class TestAccess:
    async def test_each_step_takes_a_key_with_its_scope_and_the_key_is_the_owner(self, tmp_path: Path) -> None:
        keys = tmp_path / "keys.json"

        def key(*scopes: Scope) -> dict[str, str]:
            made = new_key("test", scopes, now=datetime.now(UTC), expires_at=None)
            change_keys(keys, lambda kept: KeyList(keys=(*kept.keys, made.kept)))
            return {"authorization": f"Bearer {made.text}"}

        writer, reader = key("uploads:write"), key("assets:read")
        async with open_api(tmp_path, api_keys_file=keys, upload_open_limit=1) as api:
            refused(await api.client.post(PREPARE, json=NOTE), 401, "unauthorized")
            refused(await api.client.post(PREPARE, json=NOTE, headers=reader), 403, "forbidden")
            made = (await api.client.post(PREPARE, json=NOTE, headers=writer)).json()
            refused(await api.client.post(PREPARE, json=NOTE, headers=writer), 429, "quota_exceeded")
            another = await api.client.post(PREPARE, json=NOTE, headers=key("uploads:write"))
            assert another.status_code == 201
            # The URL itself is the permission.
            assert (await put(api, made["upload"])).status_code == 201
            body = {"asset_id": made["asset_id"]}
            refused(await api.client.post(COMPLETE, json=body), 401, "unauthorized")
            assert (await api.client.post(COMPLETE, json=body, headers=writer)).status_code == 202
            path = f"/chats/assets/{made['asset_id']}"
            refused(await api.client.get(path, headers=writer), 403, "forbidden")
            assert (await api.client.get(path, headers=reader)).status_code == 200


class TestRemoval:
    async def test_lists_are_by_chat_and_of_the_caller(self, api: Api) -> None:
        first, second = [(await prepared(api))["asset_id"] for _ in range(2)]
        other = (await prepared(api, chat_id="c2"))["asset_id"]
        for path, expected in (
            ("/chats/c1/assets/", {first, second}),
            ("/chats/c2/assets", {other}),
            ("/api/v1/uploads/mine", {first, second, other}),
        ):
            seen: list[str] = []
            query = {"limit": "1"}
            while query:
                page = AssetPageBody.model_validate((await api.client.get(path, params=query)).json())
                seen.extend(asset.asset_id for asset in page.data)
                query = {"limit": "1", "cursor": page.next_cursor} if page.next_cursor else {}
            assert sorted(seen) == sorted(expected)
        refused(await api.client.get("/chats/c1/assets/", params={"cursor": "x"}), 400, "invalid_input")

    async def test_one_is_removed_with_its_file(self, api: Api) -> None:
        asset_id, kept = await sent(api), await sent(api)
        assert (await api.client.delete(f"/chats/assets/{asset_id}")).status_code == 204
        refused(await api.client.get(f"/chats/assets/{asset_id}"), 404, "asset_not_found")
        refused(await api.client.delete(f"/chats/assets/{asset_id}"), 404, "asset_not_found")
        assert quarantined(api) == [kept]

    async def test_all_of_the_caller_are_removed_and_no_other_s(self, tmp_path: Path) -> None:
        keys = tmp_path / "keys.json"

        def key() -> dict[str, str]:
            made = new_key("test", ["uploads:write"], now=datetime.now(UTC), expires_at=None)
            change_keys(keys, lambda kept: KeyList(keys=(*kept.keys, made.kept)))
            return {"authorization": f"Bearer {made.text}"}

        ann, bob = key(), key()
        async with open_api(tmp_path, api_keys_file=keys) as api:
            theirs: list[str] = []
            for owner in (ann, ann, bob):
                made = (await api.client.post(PREPARE, json=NOTE, headers=owner)).json()
                assert (await put(api, made["upload"])).status_code == 201
                theirs.append(made["asset_id"])
            refused(await api.client.delete(f"/chats/assets/{theirs[2]}", headers=ann), 404, "asset_not_found")
            refused(await api.client.delete("/api/v1/uploads/mine"), 401, "unauthorized")
            assert (await api.client.delete("/api/v1/uploads/mine", headers=ann)).status_code == 204
            assert quarantined(api) == [theirs[2]]
            page = (await api.client.get("/api/v1/uploads/mine", headers=bob)).json()
            assert [asset["asset_id"] for asset in page["data"]] == [theirs[2]]


async def test_without_the_setting_there_are_no_uploads(tmp_path: Path) -> None:
    async with open_deps(tmp_path) as deps:
        transport = httpx.ASGITransport(create_app(deps))
        async with httpx.AsyncClient(transport=transport, base_url="http://api.test") as client:
            refused(await client.post(PREPARE, json=NOTE), 404, "route_not_found")
