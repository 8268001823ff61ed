"""A stored file's way into the library: the download pipeline, from where it is known what to fetch.

No worker serves it, as clients that publish requests must not choose what is read from a bucket. Its requests come
from `audio_service.transcode_task`.
"""

from __future__ import annotations

from dataclasses import replace

from audio_service.pipelines.download import DOWNLOADS, DownloadJob, obtain
from audio_service.pipelines.download_messages import DownloadProgress
from audio_service.services import Services
from audio_service.sources.base import Query
from audio_service.worker.pipeline import Outcome
from common.errors import MediaRemoved
from common.messages.base import utc_now
from common.messages.downloads import DownloadRequest


def request_for(address: str, request_id: str) -> DownloadRequest:
    """Return the request to bring the object at an address (`s3://bucket/key`) into the library."""
    return DownloadRequest(request_id=request_id, user_id="", song=address, provider_type="s3", timestamp=utc_now())


async def transcode(job: DownloadJob, services: Services, progress: DownloadProgress) -> Outcome | None:
    """Bring the object that `job.request.song` names into the library; raises as `download`.

    What is there now is looked up in every attempt. If it is no longer what the request was made for, this request
    ends: the newer object has one of its own.
    """
    resolved = await services.source.resolve(Query(job.request.song, is_url=True, media_id=None, key=""))
    claimed = await services.repository.waits_for(job.request.request_id)
    if claimed is not None and claimed != resolved.media_id:
        raise MediaRemoved(f"{job.request.song}: was replaced after this request")
    return await obtain(job, resolved, services, progress)


TRANSCODES = replace(DOWNLOADS, name="transcode", run=transcode)
