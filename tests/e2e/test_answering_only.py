from __future__ import annotations

from pathlib import Path

import httpx
import psutil

from tests.servers.media_files import make
from tests.servers.media_site import open_media_site
from tests.servers.ports import free_port
from tests.servers.system import open_audio_process, open_client, open_worker, settings_for


async def test_a_process_without_workers_answers_and_leaves_the_queue_to_others(tmp_path: Path) -> None:
    files = tmp_path / "files"
    files.mkdir()
    async with open_media_site(files) as site:
        settings = settings_for(tmp_path, site.address, num_workers=1)
        answering = settings.model_copy(update={"num_workers": 0, "http_port": free_port()})
        async with open_client(settings) as client, open_audio_process(answering) as audio:
            request = await client.ask(site.file(make("webm_opus", files, 3)))
            async with httpx.AsyncClient(base_url=audio.url) as http:
                assert (await http.get("/api/v1/health")).status_code == 200
                assert not psutil.Process(audio.process.pid).children()
                assert not client.statuses
                async with open_worker(settings):
                    status = await client.status(request)
                assert status.success
                found = await http.get("/api/v1/media/", params={"video_id": status.video_id})
            assert found.json()["data"]["status"] == "success"
            assert await audio.terminate() == 0
