"""The source port, and what a query is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    # Children import this module, and have no use for pydantic.
    from common.messages.downloads import PlatformMetadata


@dataclass(frozen=True, slots=True)
class Query:
    """What somebody typed, understood without any network.

    Attributes:
        text: the words, or the normalised URL.
        is_url: whether `text` is a URL.
        media_id: the id when the text carries it (YouTube URLs); else None.
        key: names the query in leases and in remembered resolutions; equal for equal queries. It is a valid media
            id, so a query that never resolved can have a record that says why.
    """

    text: str
    is_url: bool
    media_id: str | None
    key: str


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a query turned out to be.

    Attributes:
        media_id: the record's id: YouTube's own id, else made from the platform's id or the final URL.
        metadata: title, duration (0: unknown until decoded), page URL to fetch from, thumbnail, platform.
        info: the extractor's answer (JSON), so that fetching at once need not ask again; None when there is none.
    """

    media_id: str
    metadata: PlatformMetadata
    info: bytes | None = None


class MediaSource(Protocol):
    """Turns a query into one piece of media. Adapters: yt-dlp; the YouTube Data API in front of it."""

    async def resolve(self, query: Query) -> Resolved:
        """Find the media.

        Raises:
            SourceError: one of its subclasses says why there is none.
            UrlNotAllowed: the URL, a redirect or the page leads to an address the guard refuses.
            ProcessingError: the child process that asked died, hung or ran out of its limits.
        """
        ...
