"""Downloads as the suite of the generic job sees them."""

from __future__ import annotations

from audio_service.media.repository import open_repository
from audio_service.pipelines.registry import PIPELINES, Registry
from audio_service.settings import AudioSettings
from common.messages.downloads import DownloadRequest
from tests.servers.jobs import Kind, Watch, unwatched
from tests.servers.media_site import MediaSite


def registry(_watch: Watch = unwatched) -> Registry:
    """Return the product's own pipelines: all their ports are among the services, which are watched already."""
    return PIPELINES


class Downloads(Kind):
    """The product's first pipeline."""

    name = "download"
    program = "audio_service"
    registry = "tests.e2e.downloads:registry"
    steps = (
        "broker.deliver",
        "repository.is_answered",
        "repository.acquire:request",
        "repository.waits_for",
        "repository.recall",
        "repository.acquire:resolve",
        "source.resolve",
        "repository.remember",
        "repository.surrender:resolve",
        "repository.claim",
        "children.call",
        "blobs.put",
        "repository.mark_success",
        "broker.publish:status",
        "repository.settle",
        "delivery.ack",
        "repository.surrender:request",
    )
    stored = "blobs.put"
    settled = "repository.settle"

    def make_registry(self, watch: Watch = unwatched) -> Registry:
        """See the port."""
        return registry(watch)

    def request(self, site: MediaSite, url: str) -> tuple[str, bytes]:
        """Ask for a page that leads to the address."""
        request = DownloadRequest.new(site.page(url), user_id="42")
        return request.request_id, request.to_bytes()

    async def unfinished(self, settings: AudioSettings) -> list[str]:
        """Records that are still `processing`."""
        async with open_repository(settings) as repository:
            records = (await repository.list(limit=100)).items
        return [record.video_id for record in records if record.status == "processing"]
