"""An audio message's whole way: prepare, PUT, complete, worker, child, status, read. One process, a real child."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import httpx

from audio_service.api.app import create_app
from audio_service.api.deps import ApiDeps
from audio_service.bootstrap import open_services
from audio_service.pipelines.upload import UPLOADS
from audio_service.services import Services
from audio_service.worker.worker import Worker
from common.dca import scan
from common.messages.assets import AssetStatusEvent
from common.messages.base import parse
from common.settings import SharedSettings
from tests.servers.buckets import bucket_keys, make_bucket, objects
from tests.servers.emulators import Emulator
from tests.servers.media_files import make
from tests.servers.system import settings_for
from tests.waiting import until


@dataclass(frozen=True)
class House:
    """A service that takes uploads, and its client."""

    services: Services
    client: httpx.AsyncClient

    async def prepare(self, name: str, content: bytes, kind: str = "audio/mp4") -> dict[str, Any]:
        body = {"name": name, "size": len(content), "type": kind, "chat_id": "c1"}
        answer = await self.client.post("/chats/upload/prepare/", json=body)
        assert answer.status_code == 201
        return answer.json()

    async def send(self, name: str, content: bytes) -> str:
        """Upload a file, and return the asset's id."""
        prepared = await self.prepare(name, content)
        upload = prepared["upload"]
        if upload["url"].startswith(str(self.client.base_url)):
            sent = await self.client.put(upload["url"], content=content, headers=upload["headers"])
            assert sent.status_code == 201
        else:
            async with httpx.AsyncClient(trust_env=False) as plain:
                sent = await plain.put(upload["url"], content=content, headers=upload["headers"])
            assert sent.status_code == 200
        completed = await self.client.post("/chats/upload/complete", json={"asset_id": prepared["asset_id"]})
        assert (completed.status_code, completed.json()["processing_status"]) == (202, "queued")
        return prepared["asset_id"]

    async def read(self, asset_id: str) -> dict[str, Any]:
        return (await self.client.get(f"/chats/assets/{asset_id}")).json()["data"]

    async def end_of(self, asset_id: str) -> dict[str, Any]:
        """Wait until the asset is done or failed and its request is answered; return it."""

        async def answered() -> bool:
            return await self.services.repository.is_answered(asset_id)

        await until(answered)
        return await self.read(asset_id)

    async def told(self, asset_id: str) -> list[AssetStatusEvent]:
        messages = await self.services.broker.peek(self.services.settings.topic_asset_status)
        events = [parse(AssetStatusEvent, message.value) for message in messages]
        return [event for event in events if event.asset_id == asset_id]


@asynccontextmanager
async def open_house(directory: Path, **overrides: Any) -> AsyncGenerator[House]:  # noqa: ANN401 - any setting
    # Nothing dies here: a lease that ran out on a busy machine would only repeat an attempt.
    leases = {"lease_seconds": 600.0, "broker_lease_seconds": 600.0}
    settings = settings_for(directory, uploads=True, num_workers=1, **leases, **overrides)
    async with open_services(settings) as services:
        transport = httpx.ASGITransport(create_app(ApiDeps.of(services)))
        stop = asyncio.Event()
        work = asyncio.ensure_future(Worker(services, [UPLOADS]).run(stop))
        try:
            async with httpx.AsyncClient(transport=transport, base_url="http://api.test") as client:
                yield House(services, client)
        finally:
            stop.set()
            await work


def stored_in(directory: Path, kind: str) -> list[str]:
    return sorted(path.name for path in (directory / "storage" / kind).rglob("*") if path.is_file())


async def test_an_upload_becomes_a_message_that_plays_and_what_is_none_fails(tmp_path: Path) -> None:
    note = await asyncio.to_thread(lambda: make("m4a", tmp_path, seconds=2).read_bytes())
    async with open_house(tmp_path) as house:
        good = await house.send("nota.m4a", note)
        program = await house.send("nota.m4a", b"MZ" + note)
        cut = await house.send("nota.m4a", note[: len(note) // 2])

        done = await house.end_of(good)
        assert (done["processing_status"], done["error_code"], done["message"]) == ("done", None, "Listo")
        assert abs(done["variants"]["duration"] - 2) < 0.1
        assert len(done["variants"]["waveform"]) == 100
        assert max(done["variants"]["waveform"]) == 100
        events = await house.told(good)
        assert [event.status for event in events] in (["processing", "done"], ["done"])
        assert (events[-1].chat_id, events[-1].success, len(events[-1].waveform)) == ("c1", True, 100)

        sound = await house.client.get(done["variants"]["url"])
        assert (sound.status_code, sound.headers["content-type"]) == (200, "audio/mp4")
        assert sound.content.index(b"moov") < sound.content.index(b"mdat")
        with av.open(io.BytesIO(sound.content)) as file:
            [stream] = file.streams
            context = file.streams.audio[0].codec_context
            assert (stream.type, context.name, context.profile) == ("audio", "aac", "LC")
            assert (context.sample_rate, context.layout.nb_channels) == (44_100, 1)
        part = await house.client.get(done["variants"]["url"], headers={"range": "bytes=4-7"})
        assert (part.status_code, part.content) == (206, b"ftyp")
        zoom = (await house.client.get(f"/chats/assets/{good}/waveform.json")).json()
        assert (zoom["version"], zoom["channels"], zoom["bits"]) == (2, 1, 8)
        assert len(zoom["data"]) == 2 * zoom["length"]
        copy = await house.client.get(next(output["url"] for output in done["outputs"] if output["name"] == "dca"))
        assert abs(scan(io.BytesIO(copy.content)).duration_ms - 2000) < 100

        for asset_id, code in ((program, "file_not_allowed"), (cut, "file_corrupt")):
            failed = await house.end_of(asset_id)
            assert (failed["processing_status"], failed["error_code"], failed["variants"]) == ("failed", code, None)
            assert failed["outputs"] == []
            ends = [event for event in await house.told(asset_id) if event.status == "failed"]
            assert [(event.error_code, event.success) for event in ends] == [(code, False)]

        again = await house.client.post("/chats/upload/complete/", json={"asset_id": good})
        assert (again.status_code, again.json()["processing_status"]) == (202, "done")
        assert stored_in(tmp_path, "quarantine") == []
        assert stored_in(tmp_path, "assets") == ["audio.dca", "audio.m4a", "waveform.json"]


async def test_the_same_in_a_bucket_where_neither_the_api_nor_the_disk_sees_the_file(
    tmp_path: Path, seaweedfs: Emulator
) -> None:
    keys = bucket_keys(seaweedfs)
    await make_bucket(SharedSettings(**keys))
    # The index at its end, which is read by range.
    note = await asyncio.to_thread(lambda: make("m4a", tmp_path, seconds=2).read_bytes())
    assert note.index(b"mdat") < note.index(b"moov")
    async with open_house(tmp_path, **keys) as house:
        good = await house.send("nota.m4a", note)
        program = await house.send("nota.m4a", b"MZ" + note)

        done = await house.end_of(good)
        assert (done["processing_status"], done["error_code"]) == ("done", None)
        assert abs(done["variants"]["duration"] - 2) < 0.1
        sound = await house.client.get(done["variants"]["url"])
        assert sound.content.index(b"moov") < sound.content.index(b"mdat")
        refused = await house.end_of(program)
        assert (refused["processing_status"], refused["error_code"]) == ("failed", "file_not_allowed")

        prepared = (await house.prepare("nota.m4a", note))["upload"]
        async with httpx.AsyncClient(trust_env=False) as plain:
            longer = {**prepared["headers"], "Content-Length": str(len(note) + 1)}
            assert (await plain.put(prepared["url"], content=note + b"0", headers=longer)).status_code == 403
            other = {**prepared["headers"], "Content-Type": "text/html"}
            assert (await plain.put(prepared["url"], content=note, headers=other)).status_code == 403
    kept = sorted(await objects(SharedSettings(**keys)))
    assert kept == [f"assets/{good}/{name}" for name in ("audio.dca", "audio.m4a", "waveform.json")]
